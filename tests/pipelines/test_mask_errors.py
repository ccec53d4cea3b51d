"""Bad input for masks: a message that names file and remedy, nothing half written, recovery."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from pipelines import CloudMaskL8, CloudMaskPV, CloudMaskS2, InferenceDA


@pytest.fixture
def scene(small, tmp_path):
    return small.landsat(tmp_path / "in")[0]


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def refused(refusal, weights, out):
    """Make the mask of a Landsat scene, which must fail; return what it says."""

    def said(scene, **choices):
        task = CloudMaskL8(
            l8image=str(scene), outfolder=str(out), **{"weights": weights.six} | choices
        )
        return refusal(task, out, Path(scene).parent)

    return said


def has_mask(product):
    with rasterio.open(product) as dataset:
        return set(np.unique(dataset.read(1))) == {0, 1, 2}


class TestLandsat:
    def test_absent(self, refused, tmp_path):
        assert "nowhere" in refused(tmp_path / "nowhere")

    def test_no_metadata(self, scene, small, refused):
        (scene / f"{small.LANDSAT}_MTL.txt").unlink()
        assert "MTL" in refused(scene)

    def test_a_missing_band_is_named_and_another_run_recovers(
        self, scene, small, refused, weights, out, run
    ):
        band = scene / f"{small.LANDSAT}_B5.TIF"
        band.rename(scene.parent / "kept.TIF")
        said = refused(scene)
        assert "B5" in said and band.name in said
        (scene.parent / "kept.TIF").rename(band)
        task = CloudMaskL8(l8image=str(scene), outfolder=str(out), weights=weights.six)
        assert has_mask(run(task))

    def test_bands_that_the_model_does_not_read_may_miss(self, scene, small, weights, out, run):
        (scene / f"{small.LANDSAT}_B7.TIF").unlink()
        assert has_mask(
            run(
                CloudMaskL8(
                    l8image=str(scene), outfolder=str(out), namemodel="rgbi", weights=weights.four
                )
            )
        )

    @pytest.mark.parametrize("kept", [0, 100, 6000])
    def test_a_truncated_band_is_named_and_another_run_recovers(
        self, kept, scene, small, refused, weights, out, run
    ):
        band = scene / f"{small.LANDSAT}_B4.TIF"
        whole = band.read_bytes()
        band.write_bytes(whole[:kept])
        assert band.name in refused(scene)
        band.write_bytes(whole)
        task = CloudMaskL8(l8image=str(scene), outfolder=str(out), weights=weights.six)
        assert has_mask(run(task))

    def test_level_2(self, scene, small, refused):
        small.write_mtl(scene, level="L2SP")
        assert "Level-1" in refused(scene)

    def test_an_unknown_sensor(self, scene, small, refused):
        small.write_mtl(scene, spacecraft="LANDSAT_7")
        assert "LANDSAT_7" in refused(scene)

    def test_bands_of_different_shapes(self, scene, small, refused):
        small.write_plane(scene / f"{small.LANDSAT}_B6.TIF", np.full((30, 83), 9, np.uint16))
        assert "B6" in refused(scene)

    def test_a_scene_given_twice_or_not_at_all(self, weights, scene):
        for given in ({}, {"l8image": str(scene), "landsatimage": str(scene)}):
            task = CloudMaskL8(**given, weights=weights.six)
            with pytest.raises(ValueError, match="give one scene with --l8image"):
                task.complete()

    def test_a_sun_elevation_for_a_scene_that_knows_its_own(self, scene, refused):
        said = refused(scene, sun_elevation=40.0)
        assert "--sun-elevation" in said and str(scene) in said

    def test_a_patch_has_no_short_wave_infrared(self, small, refused, tmp_path):
        path, *_ = small.patch(tmp_path / "patch")
        assert "--namemodel rgbi" in refused(path)

    def test_a_patch_that_lacks_a_band(self, small, weights, refused, tmp_path):
        path, *_ = small.patch(tmp_path / "patch")
        (path.parent / f"nir_{small.PATCH}").unlink()
        said = refused(path, namemodel="rgbi", weights=weights.four)
        assert "B5" in said and f"nir_{small.PATCH}" in said


class TestSentinel2:
    @pytest.fixture
    def safe(self, small, tmp_path):
        return small.sentinel2(tmp_path / "s2")[0]

    @pytest.fixture
    def refused(self, refusal, weights, out):
        def said(scene, **choices):
            task = CloudMaskS2(
                s2image=str(scene), outfolder=str(out), weights=weights.six, **choices
            )
            return refusal(task, out, Path(scene).parent)

        return said

    def band(self, safe, number):
        (path,) = safe.glob(f"GRANULE/*/IMG_DATA/*_{number}.jp2")
        return path

    @pytest.mark.parametrize("verify", ["yes", "no"])
    def test_a_truncated_jp2(self, verify, safe, refused, weights, out, run):
        band = self.band(safe, "B03")
        whole = band.read_bytes()
        band.write_bytes(whole[: len(whole) // 2])
        assert band.name in refused(safe, verify_checksums=verify)
        band.write_bytes(whole)
        task = CloudMaskS2(
            s2image=str(safe), outfolder=str(out), weights=weights.six, verify_checksums=verify
        )
        assert has_mask(run(task))

    def test_a_changed_byte_is_an_error_of_the_checksum(self, safe, refused):
        band = self.band(safe, "B03")
        data = bytearray(band.read_bytes())
        data[-30] ^= 1
        band.write_bytes(data)
        said = refused(safe)
        assert band.name in said and "md5" in said.lower() and "fetch it again" in said

    def test_a_missing_band(self, safe, refused):
        self.band(safe, "B12").unlink()
        said = refused(safe)
        assert "B12" in said and str(safe) in said

    def test_no_metadata(self, safe, refused):
        (safe / "MTD_MSIL1C.xml").unlink()
        assert str(safe) in refused(safe)

    def test_level_2(self, safe, refused):
        level2 = safe.with_name(safe.name.replace("MSIL1C", "MSIL2A"))
        safe.rename(level2)
        metadata = level2 / "MTD_MSIL1C.xml"
        text = metadata.read_text().replace("Level-1C", "Level-2A").replace("MSIL1C", "MSIL2A")
        (level2 / "MTD_MSIL2A.xml").write_text(text)
        metadata.unlink()
        said = refused(level2)
        assert "Level-1C" in said or "L1C" in said
        assert str(level2) in said

    def test_a_zip_that_is_cut_off(self, safe, refused, tmp_path):
        archive = Path(shutil.make_archive(str(safe), "zip", safe.parent, safe.name))
        archive.write_bytes(archive.read_bytes()[:-3000])
        assert archive.name in refused(archive)


class TestProbaV:
    def test_what_is_no_product(self, small, weights, refusal, out, tmp_path):
        path, *_ = small.probav(tmp_path / "pv")
        whole = path.read_bytes()
        task = CloudMaskPV(
            pvimage=str(path), outfolder=str(out), cloud_detection_weights=weights.four
        )
        for contents in (b"", b"text", whole[: len(whole) // 2]):
            path.write_bytes(contents)
            assert path.name in refusal(task, out, path.parent)
        path.unlink()
        assert path.name in refusal(task, out, path.parent)
        path.write_bytes(whole)
        assert task.complete() is False
        task.run()
        assert task.complete()


class TestWeights:
    def test_for_other_bands(self, scene, refused, weights):
        said = refused(scene, weights=weights.four)
        assert weights.four in said and "4 bands" in said and "6 bands" in said

    def test_of_a_generator(self, scene, refused, weights):
        said = refused(scene, namemodel="rgbi", weights=weights.generator)
        assert weights.generator in said and "generator" in said and "detector" in said

    def test_of_a_detector_where_a_generator_belongs(self, small, weights, refusal, out, tmp_path):
        path, *_ = small.probav(tmp_path / "pv")
        task = InferenceDA(
            pvimage=str(path), image_dest=str(out / "a.HDF5"),
            cloud_detection_weights=weights.four, dagans_weights=weights.four,
        )  # fmt: skip
        said = refusal(task, out)
        assert "holds a unet" in said and "generator" in said

    def test_missing(self, scene, refused, tmp_path):
        said = refused(scene, weights=str(tmp_path / "none.h5"))
        assert "none.h5" in said

    def test_damaged(self, scene, refused, weights, out, run, tmp_path):
        whole = Path(weights.six).read_bytes()
        # The numbers of the first normalisation, seven bytes of each: no finite weights any more.
        flipped = whole.replace(np.float32(0.999).tobytes() * 2, b"\xff\xff\xff\x7f" * 2)
        assert flipped != whole
        file = tmp_path / "own.h5"
        for contents in (b"", b"not HDF5", whole[: len(whole) // 2], whole[:-1], flipped):
            file.write_bytes(contents)
            said = refused(scene, weights=str(file))
            assert str(file) in said and "fetch or make the weights again" in said
        file.write_bytes(whole)
        task = CloudMaskL8(l8image=str(scene), outfolder=str(out), weights=str(file))
        assert has_mask(run(task))

    def test_an_unknown_name_suggests_the_nearest(self, scene):
        with pytest.raises(ValueError, match="did you mean landsatbiomeRGBI6?"):
            CloudMaskL8(l8image=str(scene), weights="landsatbiomeRGBI")
        with pytest.raises(ValueError, match="did you mean cloud_detection_l8?"):
            CloudMaskPV(pvimage="a.HDF5", cloud_detection_weights="cloud_detection_l9")


class TestChoices:
    @pytest.mark.parametrize(
        "choice", [{"threshold": 2.0}, {"threshold": -0.1}, {"buffer": -1}], ids=str
    )
    def test_out_of_range(self, choice, scene, refused):
        said = refused(scene, **choice)
        assert "--threshold" in said or "--buffer" in said

    def test_a_threshold_that_is_no_number(self, scene, refused):
        assert "--threshold" in refused(scene, threshold=float("nan"))

    def test_an_area_of_interest_that_is_missing(self, scene, refused, tmp_path):
        assert "field.geojson" in refused(scene, aoi=str(tmp_path / "field.geojson"))

    @pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"type": "Point"}', '{"a": 1}'])
    def test_an_area_of_interest_that_is_no_geojson_of_polygons(
        self, text, scene, refused, tmp_path
    ):
        path = tmp_path / "field.geojson"
        path.write_text(text)
        said = refused(scene, aoi=str(path))
        assert str(path) in said and ("GeoJSON" in said or "polygon" in said)

    def test_an_area_of_interest_elsewhere(self, scene, refused, tmp_path):
        path = tmp_path / "field.geojson"
        ring = [[30, 10], [31, 10], [31, 11], [30, 10]]
        path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
        said = refused(scene, aoi=str(path))
        assert str(path) in said and "no pixel in common" in said

    def test_an_area_of_interest_for_a_patch_that_lies_nowhere(
        self, small, weights, refused, tmp_path
    ):
        path = tmp_path / "field.geojson"
        ring = [[30, 10], [31, 10], [31, 11], [30, 10]]
        path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
        patch, *_ = small.patch(tmp_path / "patch")
        said = refused(patch, namemodel="rgbi", weights=weights.four, aoi=str(path))
        assert "area of interest" in said and "no CRS" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to every folder")
def test_a_read_only_scene_folder_names_the_option(scene, weights, refusal):
    scene.chmod(0o555)
    try:
        said = refusal(CloudMaskL8(l8image=str(scene), weights=weights.six))
    finally:
        scene.chmod(0o755)
    assert "--outfolder" in said


class TestCommand:
    """Exit codes and what is seen on the screen; the cases are those above."""

    def run(self, command, *arguments):
        return command("luigi", "--module", "pipelines", "CloudMaskL8", *arguments)

    def test_bad_input(self, scene, small, weights, out, command):
        (scene / f"{small.LANDSAT}_B5.TIF").unlink()
        done = self.run(command, "--l8image", scene, "--weights", weights.six, "--outfolder", out)
        assert done.returncode == 30, done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert f"{small.LANDSAT}_B5.TIF" in last
        assert not list(out.iterdir())

    def test_no_scene_and_unknown_weights(self, command):
        done = self.run(command)
        assert done.returncode not in (0, 1, 2) and "--l8image" in done.stderr
        done = self.run(command, "--l8image", "x", "--weights", "landsatbiomRGBI6")
        assert done.returncode not in (0, 2) and "did you mean landsatbiomeRGBI6" in done.stderr
