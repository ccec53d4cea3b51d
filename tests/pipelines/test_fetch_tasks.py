"""`FetchLandsat`, `FetchSentinel2`, `FetchProbaV`: from servers on this machine to whole products.

The services of the settings are replaced by one on loopback; what it has are tiny real products.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import luigi
import pytest

from pipelines import (
    CloudMaskL8,
    CloudMaskPV,
    CloudMaskS2,
    FetchLandsat,
    FetchProbaV,
    FetchSentinel2,
)
from pipelines.acquire.notes import read_notes
from pipelines.acquire.sources import source_settings
from pipelines.product.record import read_record
from scenes.fetch.failure import FetchError

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "aVerySecretToken123"
BANDS = "B2,B3,B4,B5,B6,B7"


@pytest.fixture
def landsat(server, small):
    scene, *_ = small.landsat(server.folder)
    return SimpleNamespace(id=scene.name, folder=scene)


def paths(server, folder):
    return sorted(Path(path).name for path, _ in server.asked if folder in path)


def said(task, build, caplog):
    caplog.clear()
    assert not build(task)
    return caplog.text


def pack(folder, target):
    """Zip a SAFE folder as `target`.zip, anew."""
    shutil.make_archive(str(target), "zip", root_dir=folder.parent, base_dir=folder.name)


def passing(task):
    """Tell whether the task fails with an error that says it may work another time."""
    with pytest.raises(FetchError) as caught:
        task.run()
    return caught.value.passing


class TestLandsat:
    def test_only_what_is_asked_for_comes(self, server, settings, landsat, build):
        task = FetchLandsat(product_id=landsat.id, bands="B4,B5")
        assert not task.complete() and build(task) and task.complete()
        names = [f"{landsat.id}_{end}" for end in ("B4.TIF", "B5.TIF", "MTL.txt")]
        assert sorted(each.name for each in task.product.iterdir()) == names
        for name in names:
            assert (task.product / name).read_bytes() == (landsat.folder / name).read_bytes()
        assert paths(server, landsat.id) == names
        notes = read_notes(task.product)
        assert {note.verified for note in notes.files.values()} == {"structure"}

    def test_what_is_there_is_not_fetched_again(self, server, settings, landsat, build):
        assert build(FetchLandsat(product_id=landsat.id, bands="B4"))
        server.asked.clear()
        assert build(FetchLandsat(product_id=landsat.id, bands="B4,B2"))
        assert paths(server, landsat.id) == [f"{landsat.id}_B2.TIF"]
        server.asked.clear()
        assert FetchLandsat(product_id=landsat.id, bands="B2").complete() and not server.asked

    def test_whoever_put_it_there(self, server, settings, landsat, build):
        task = FetchLandsat(product_id=landsat.id, bands="B4")
        task.product.mkdir(parents=True)
        for end in ("B4.TIF", "MTL.txt"):
            shutil.copy(landsat.folder / f"{landsat.id}_{end}", task.product)
        assert not task.complete() and build(task) and task.complete()
        assert not server.asked

    def test_a_mask_by_id(self, server, settings, landsat, build, weights, tmp_path):
        task = CloudMaskL8(l8image=landsat.id, weights=weights.six, outfolder=str(tmp_path / "out"))
        assert build(task)
        same = CloudMaskL8(
            l8image=str(landsat.folder), weights=weights.six, outfolder=str(tmp_path / "out")
        )
        assert same.product == task.product and same.complete()
        # Where the product is fresh, a scene that is gone is not fetched again.
        shutil.rmtree(tmp_path / "data")
        server.asked.clear()
        assert build(task) and not server.asked

    def test_all_that_there_is(self, settings, landsat, build):
        """A pattern lists nothing: what such a product has is asked for by its usual names."""
        usual = [f"B{number}.TIF" for number in range(1, 12)] + ["BQA.TIF"]
        for end in usual:
            if not (landsat.folder / f"{landsat.id}_{end}").exists():
                shutil.copy(
                    landsat.folder / f"{landsat.id}_B4.TIF", landsat.folder / f"{landsat.id}_{end}"
                )
        (landsat.folder / f"{landsat.id}_ANG.txt").write_text("angles\n")
        task = FetchLandsat(product_id=landsat.id, all_bands=True, bands="B4")
        assert build(task) and task.complete()
        assert len(read_notes(task.product).files) == len(usual) + 2
        (task.product / f"{landsat.id}_B9.TIF").unlink()
        assert not task.complete()

    def test_what_is_there_stays(self, server, settings, landsat, build):
        """Of a user's files none is asked for again when another band lacks."""
        task = FetchLandsat(product_id=landsat.id, bands="B4,B5")
        task.product.mkdir(parents=True)
        for end in ("B4.TIF", "MTL.txt"):
            shutil.copy(landsat.folder / f"{landsat.id}_{end}", task.product)
        assert build(task)
        assert paths(server, landsat.id) == [f"{landsat.id}_B5.TIF"]

    def test_a_user_file_that_is_damaged_is_not_removed(self, settings, landsat, build, caplog):
        task = FetchLandsat(product_id=landsat.id, bands="B4,B5")
        task.product.mkdir(parents=True)
        for end in ("B4.TIF", "MTL.txt"):
            shutil.copy(landsat.folder / f"{landsat.id}_{end}", task.product)
        band = task.product / f"{landsat.id}_B4.TIF"
        band.write_bytes(band.read_bytes()[:200])
        assert band.name in said(task, build, caplog) and band.exists()

    def test_files_in_a_folder_of_their_own_do_not_count(self, server, settings, landsat, build):
        task = FetchLandsat(product_id=landsat.id, bands="B4")
        shutil.copytree(landsat.folder, task.product / landsat.id)
        assert build(task) and len(paths(server, landsat.id)) == 2

    def test_a_band_that_there_is_not(self, settings, landsat):
        with pytest.raises(ValueError, match="has no file for 'B99'"):
            FetchLandsat(product_id=landsat.id, bands="B99").complete()

    def test_a_damaged_band_is_named_and_does_not_count(
        self, server, settings, landsat, build, caplog
    ):
        file = landsat.folder / f"{landsat.id}_B4.TIF"
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        task = FetchLandsat(product_id=landsat.id, bands="B4")
        text = said(task, build, caplog)
        assert f"{landsat.id}_B4.TIF" in text and not task.complete()
        file.write_bytes(whole)
        assert not (task.product / file.name).exists()
        assert build(task) and task.complete()

    def test_a_product_that_nobody_has(self, server, settings, build, caplog):
        missing = "LC08_L1TP_001001_20200101_20200823_02_T1"
        task = FetchLandsat(product_id=missing, bands="B4")
        text = said(task, build, caplog)
        assert "mine" in text and "HTTP 404" in text and "put the product at" in text
        assert not list(task.product.glob("*"))
        assert not passing(task)

    def test_a_login_page(self, server, settings, landsat, build, caplog):
        def page(handler):
            handler.say(200, b"<html>Sign in</html>", **{"Content-Type": "text/html"})

        server.answers = {f"{landsat.id}_{end}": [page] * 9 for end in ("B4.TIF", "MTL.txt")}
        task = FetchLandsat(product_id=landsat.id, bands="B4")
        assert "web page" in said(task, build, caplog)
        assert not task.complete() and not list(task.product.glob("[!.]*"))
        assert passing(task)

    def test_without_a_network(self, settings, landsat, build, caplog):
        settings(source__mine={"pattern": "http://127.0.0.1:9/{id}/{file}"})
        task = FetchLandsat(product_id=landsat.id, bands="B4")
        assert "no connection" in said(task, build, caplog)
        assert passing(task)

    def test_a_refused_login_may_be_right_another_time(self, server, settings, landsat):
        server.answers = {
            f"{landsat.id}_{end}": [lambda handler: handler.say(401, b"")] * 9
            for end in ("B4.TIF", "MTL.txt")
        }
        assert passing(FetchLandsat(product_id=landsat.id, bands="B4"))

    def test_the_next_source_has_it(self, server, settings, landsat, build):
        settings(
            acquire={"landsat": "empty, mine"},
            source__empty={"kind": "template", "pattern": server.address + "/none/{id}/{file}"},
        )
        assert build(FetchLandsat(product_id=landsat.id, bands="B4"))

    def test_other_ids_are_refused(self, settings):
        with pytest.raises(ValueError, match="is the id of no Landsat-8/9 Level-1 product"):
            FetchLandsat(product_id="PROBAV_L2A_20140321_150455_3_333M_V101").complete()

    def test_an_unknown_source(self, settings, landsat, build, caplog):
        settings(acquire={"landsat": "nowhere"})
        assert "nowhere" in said(FetchLandsat(product_id=landsat.id), build, caplog)


class TestSentinel2:
    @pytest.fixture
    def tile(self, server, small, tmp_path):
        path, *_ = small.sentinel2(tmp_path / "tile")
        pack(path, server.folder / path.stem)
        return SimpleNamespace(id=path.stem, folder=path)

    def test_a_zip_becomes_the_product(self, server, settings, tile, build, caplog):
        task = FetchSentinel2(product_id=tile.id, bands="B4,B8")
        assert build(task) and task.complete()
        assert task.product.name == f"{tile.id}.SAFE"
        expected = {
            file.relative_to(tile.folder): file.read_bytes()
            for file in tile.folder.rglob("*") if file.is_file()
        }  # fmt: skip
        found = {
            file.relative_to(task.product): file.read_bytes()
            for file in task.product.rglob("*") if file.is_file()
        }  # fmt: skip
        assert found == expected
        assert sorted(each.name for each in task.product.parent.glob("*")) == [
            f".{tile.id}.SAFE.fetched.json", f".{tile.id}.SAFE.lock", f"{tile.id}.SAFE",
        ]  # fmt: skip
        assert "is not what" not in caplog.text
        # An archive that a killed run left goes at the next.
        left = task.product.with_name(f".{task.product.name}.bundle")
        left.touch()
        # Bands that came along need no second archive.
        server.asked.clear()
        assert build(FetchSentinel2(product_id=tile.id, bands="B2")) and not server.asked
        assert not left.exists()

    def test_a_sum_of_something_else(self, server, settings, tile, build, caplog):
        server.md5 = lambda _file: "0" * 32
        assert build(FetchSentinel2(product_id=tile.id, bands="B4"))
        assert "the md5 of" in caplog.text and "is not what zips says" in caplog.text

    def test_a_mask_by_id(self, settings, tile, build, weights, tmp_path):
        task = CloudMaskS2(s2image=tile.id, weights=weights.six, outfolder=str(tmp_path / "out"))
        assert build(task) and read_record(Path(f"{task.product}.json"))

    def test_a_member_that_is_not_as_the_manifest_says(self, server, settings, tile, build, caplog):
        (band,) = tile.folder.rglob("*_B04.jp2")
        content = bytearray(band.read_bytes())
        content[-20] ^= 1
        band.write_bytes(content)
        pack(tile.folder, server.folder / tile.id)
        task = FetchSentinel2(product_id=tile.id, bands="B4")
        assert "B04.jp2" in said(task, build, caplog) and not task.complete()

    def test_another_root_in_the_zip(self, server, settings, tile, build):
        other = tile.folder.rename(tile.folder.with_name("renamed.SAFE"))
        pack(other, server.folder / tile.id)
        task = FetchSentinel2(product_id=tile.id, bands="B4")
        assert build(task) and task.complete()

    def test_a_zip_that_lacks_a_band(self, server, settings, tile, build, caplog):
        (band,) = tile.folder.rglob("*_B04.jp2")
        band.unlink()
        pack(tile.folder, server.folder / tile.id)
        task = FetchSentinel2(product_id=tile.id, bands="B4")
        assert "lacks B4, though it was fetched" in said(task, build, caplog)
        assert not task.complete()

    def test_all_that_came_is_looked_at(self, server, settings, tile, build, caplog):
        (band,) = tile.folder.rglob("*_B12.jp2")
        content = bytearray(band.read_bytes())
        content[-20] ^= 1
        band.write_bytes(content)
        pack(tile.folder, server.folder / tile.id)
        assert build(FetchSentinel2(product_id=tile.id, bands="B4"))
        everything = FetchSentinel2(product_id=tile.id, bands="B4", all_bands=True)
        assert not everything.complete() and "_B12.jp2" in said(everything, build, caplog)

    def test_a_damaged_archive_leads_to_the_next_source(self, server, settings, tile, build):
        whole = server.folder / f"{tile.id}.zip"
        place = server.folder / "half" / whole.name
        place.parent.mkdir()
        place.write_bytes(whole.read_bytes()[:-3000])
        settings(
            acquire={"sentinel2": "half, zips"},
            source__half={"kind": "template", "pattern": server.address + "/half/{id}.zip"},
        )
        assert build(FetchSentinel2(product_id=tile.id, bands="B4"))

    def test_a_band_that_there_is_not(self, settings, tile):
        with pytest.raises(ValueError, match="no band 'b4'"):
            FetchSentinel2(product_id=tile.id, bands="b4").complete()

    def test_a_product_that_the_catalogue_does_not_have(self, settings, tile, build, caplog):
        other = tile.id.replace("20160417T162952", "20170417T162952")
        assert "it does not have this product" in said(
            FetchSentinel2(product_id=other), build, caplog
        )


def test_probav(server, settings, small, build, weights, tmp_path):
    path, *_ = small.probav(server.folder)
    task = CloudMaskPV(
        pvimage=path.stem, cloud_detection_weights=weights.four, outfolder=str(tmp_path / "out")
    )
    assert build(task)
    fetched = FetchProbaV(product_id=path.stem)
    assert fetched.complete() and fetched.product.read_bytes() == path.read_bytes()


def test_no_secret_is_ever_said(server, settings, landsat, tmp_path):
    """A run that fails at debug level, with a token that is refused; nothing holds it."""
    server.token = "another"
    settings(source__mine={"hosts": "127.0.0.1"})
    environment = {
        **os.environ,
        "SKYSIEVE_MINE_TOKEN": TOKEN,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'io'}",
        "LUIGI_CONFIG_PATH": str(tmp_path / "luigi.cfg"),
    }
    call = (
        "import logging, sys; logging.basicConfig(level=logging.DEBUG);"
        "import http.client; http.client.HTTPConnection.debuglevel = 0;"
        "from luigi.cmdline import luigi_run; luigi_run(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", call, "--module", "pipelines", "FetchLandsat", "--product-id",
         landsat.id, "--bands", "B4", "--log-level", "DEBUG"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    sent = [headers.get("Authorization", "") for _, headers in server.asked]
    assert f"Bearer {TOKEN}" in sent
    assert "HTTP 401" in done.stderr and "SKYSIEVE_MINE_TOKEN" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert TOKEN.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("end", ["\n", "\u0142", " x"])
def test_a_token_that_is_none(settings, landsat, build, monkeypatch, caplog, end):
    settings(source__mine={"hosts": "127.0.0.1"})
    monkeypatch.setenv("SKYSIEVE_MINE_TOKEN", TOKEN + end)
    built = build(FetchLandsat(product_id=landsat.id, bands="B4"))
    # A line's end is not the token's.
    assert built == (end == "\n")
    assert TOKEN not in caplog.text and (built or "SKYSIEVE_MINE_TOKEN" in caplog.text)


def test_a_percent_sign_in_a_section(settings, landsat, server, build):
    server.token = "100%sure$"
    settings(source__mine={"hosts": "127.0.0.1"})
    luigi.configuration.get_config().read_string("[source.mine]\ntoken = 100%sure$\n")
    assert build(FetchLandsat(product_id=landsat.id, bands="B4"))


def test_a_token_from_the_environment(server, settings, landsat, build, monkeypatch):
    server.token = TOKEN
    settings(source__mine={"hosts": "127.0.0.1"})
    monkeypatch.setenv("SKYSIEVE_MINE_TOKEN", TOKEN)
    assert build(FetchLandsat(product_id=landsat.id, bands="B4"))


def test_a_fetch_that_is_killed_goes_on(server, settings, landsat, tmp_path, monkeypatch):
    server.chunk, server.pause = 500, 0.01
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'io'}",
        "LUIGI_CONFIG_PATH": str(tmp_path / "luigi.cfg"),
    }
    command = [
        sys.executable, "-c",
        "import sys; from luigi.cmdline import luigi_run; luigi_run(sys.argv[1:])", "--module",
         "pipelines", "FetchLandsat", "--product-id", landsat.id, "--bands", BANDS, "--no-lock",
    ]  # fmt: skip
    started = functools.partial(
        subprocess.Popen, command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for parts in (1, 3):
        process = started()
        until = time.monotonic() + 60
        while time.monotonic() < until and len(server.asked) < parts + 1:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    server.pause = 0
    process = started()
    _, text = process.communicate(timeout=120)
    task = FetchLandsat(product_id=landsat.id, bands=BANDS)
    assert process.returncode == 0, text
    assert task.complete()
    for file in task.product.iterdir():
        assert file.read_bytes() == (landsat.folder / file.name).read_bytes()
    assert not [file for file in task.product.rglob(".*")]


def test_sections_change_known_sources(settings):
    settings(source__landsatlook={"connections": "2", "token": TOKEN})
    found = source_settings("landsatlook")
    assert found.connections == 2 and found.collection == "landsat-c2l1"
    assert TOKEN not in repr(found)
    with pytest.raises(ValueError, match="unknown settings"):
        settings(source__landsatlook={"speed": "high"})
        source_settings("landsatlook")
