"""Products from a STAC API whose files are in buckets: rustac and moto, on this machine."""

from __future__ import annotations

import hashlib
import importlib
import logging
from pathlib import Path

import pytest

from pipelines import CloudMaskS2, FetchLandsat, FetchSentinel2
from pipelines.acquire.notes import read_notes

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto.server")
MAKERS = Path(__file__).resolve().parents[1] / "scenes"
# Multihash: SHA2-512, 64 bytes.
SHA512 = "1340"


@pytest.fixture
def stac(monkeypatch):
    """The module `small_stac`; the test skips where rustac is not installed."""
    monkeypatch.syspath_prepend(str(MAKERS))
    module = importlib.import_module("small_stac")
    if module.program() is None:
        pytest.skip("rustac is not installed")
    return module


@pytest.fixture
def bucket(monkeypatch):
    """A function that puts files into a bucket, and its endpoint."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-key")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = moto.ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="eodata")

    def put(folder, prefix):
        for file in folder.rglob("*"):
            if file.is_file():
                key = f"{prefix}/{file.relative_to(folder).as_posix()}"
                client.put_object(Bucket="eodata", Key=key, Body=file.read_bytes())
        return endpoint

    yield put
    server.stop()


def assets(folder, prefix):
    """Return the assets of an item: one for each file, with its sum."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {
        f"asset{number}": {
            "href": f"s3://eodata/{prefix}/{file.relative_to(folder).as_posix()}",
            "type": "image/jp2" if file.suffix == ".jp2" else "application/xml",
            "roles": ["data" if file.suffix in (".jp2", ".TIF") else "metadata"],
            "file:size": file.stat().st_size,
            "file:checksum": SHA512 + hashlib.sha512(file.read_bytes()).hexdigest(),
        }
        for number, file in enumerate(files)
    }


def test_bands_of_a_tile(stac, bucket, small, settings, build, weights, tmp_path):
    tile, *_ = small.sentinel2(tmp_path / "made")
    prefix = f"Sentinel-2/MSI/L1C/2016/04/17/{tile.name}"
    endpoint = bucket(tile, prefix)
    item = stac.item(tile.stem, "sentinel-2-l1c", "2016-04-17T11:06:52Z", assets(tile, prefix))
    (tmp_path / "service").mkdir()
    with stac.rustac(tmp_path / "service", ["sentinel-2-l1c"], [item]) as url:
        settings(
            acquire={"sentinel2": "bands"},
            source__bands={
                "kind": "stac", "url": url, "collection": "sentinel-2-l1c", "prefer": "s3",
                "endpoint": endpoint, "region": "us-east-1",
            },
        )  # fmt: skip
        fetch = FetchSentinel2(product_id=tile.stem, bands="B2,B3,B4,B8")
        assert build(fetch) and fetch.complete()
        names = {file.name for file in fetch.product.rglob("*.jp2")}
        assert len(names) == 4
        assert {"sha512"} == {note.verified for note in read_notes(fetch.product).files.values()}
        # The other two come for a mask that reads them.
        mask = CloudMaskS2(s2image=tile.stem, weights=weights.six, outfolder=str(tmp_path / "out"))
        assert build(mask)
        assert len(list(fetch.product.rglob("*.jp2"))) == 6
        # All that the service lists.
        everything = FetchSentinel2(product_id=tile.stem, all_bands=True)
        assert not everything.complete() and build(everything) and everything.complete()
    found = {file.relative_to(fetch.product) for file in fetch.product.rglob("*") if file.is_file()}
    assert found == {file.relative_to(tile) for file in tile.rglob("*") if file.is_file()}


def test_a_band_that_is_not_what_the_service_says(
    stac, bucket, small, settings, build, tmp_path, caplog
):
    scene, *_ = small.landsat(tmp_path / "made")
    endpoint = bucket(scene, scene.name)
    listed = assets(scene, scene.name)
    wrong = next(each for each in listed.values() if each["href"].endswith("_B4.TIF"))
    wrong["file:checksum"] = SHA512 + "0" * 128
    item = stac.item(scene.name, "landsat-c2l1", "2013-07-07T10:17:42Z", listed)
    (tmp_path / "service").mkdir()
    with stac.rustac(tmp_path / "service", ["landsat-c2l1"], [item]) as url:
        settings(
            acquire={"landsat": "bands"},
            source__bands={
                "kind": "stac", "url": url, "collection": "landsat-c2l1", "prefer": "s3",
                "endpoint": endpoint, "region": "us-east-1",
            },
        )  # fmt: skip
        task = FetchLandsat(product_id=scene.name, bands="B4,B5")
        assert not build(task) and not task.complete()
        # What the server of the test writes of itself is not ours.
        own = [each for each in caplog.records if each.name != "werkzeug"]
        said = "".join(logging.Formatter().format(each) for each in own)
        assert "_B4.TIF: the file has the SHA-512" in said
        assert not list(task.product.glob("*_B4.TIF"))
        assert "secret-of-key" not in said and "Signature" not in said
        assert build(FetchLandsat(product_id=scene.name, bands="B5"))
