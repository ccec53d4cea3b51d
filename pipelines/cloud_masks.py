"""`CloudMasks`: the masks of many scenes, of any sensors."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luigi
from luigi.util import inherits

from pipelines.acquire.data_folder import located
from pipelines.mask import CloudMask
from pipelines.masks import CloudMaskL8, CloudMaskPV, CloudMaskS2
from pipelines.weights import WeightsParameter
from scenes.cloud38_layout import is_patch
from scenes.sparcs_layout import is_sub_scene

__all__ = ["AnySensor", "CloudMasks", "list_scenes", "sensor", "task_of"]

# Names by which products of each sensor go, as their distributors give them; letter case ignored.
_LANDSAT = re.compile(r"LC0?[89]\w*(\.tar|\.tar\.gz|\.tgz)?", re.IGNORECASE)
_SENTINEL2 = re.compile(r"S2[A-D]_(MSIL1C|OPER_PRD_MSIL1C)\w*(\.SAFE)?(\.zip)?", re.IGNORECASE)
_PROBAV = re.compile(r".*\.(hdf5|h5)", re.IGNORECASE)
_NAMES = (
    "LC08_... or LC09_... (folder, .tar, .tar.gz), red_patch_...TIF of 38-Cloud, LC8..._data.tif "
    "of SPARCS, S2x_MSIL1C_....SAFE or .zip, or a Proba-V .HDF5"
)
# Files that list scenes.
_LISTS = (".txt", ".list", "")


@inherits(CloudMask)
class AnySensor(luigi.Task):
    """The choices for masks of scenes of any sensor, each used where it applies."""

    if TYPE_CHECKING:  # what `inherits` adds
        outfolder: str
        aoi: str

    namemodel: str = luigi.ChoiceParameter(
        choices=("rgbi", "rgbiswir"),
        default="rgbiswir",
        description="bands that the network reads of Landsat and Sentinel-2",
    )
    resolution: str = luigi.ChoiceParameter(
        choices=("10", "20", "30", "60"), default="30", description="metres, of Sentinel-2 masks"
    )
    verify_checksums: str = luigi.ChoiceParameter(
        choices=("yes", "no"),
        default="yes",
        significant=False,
        description="compare Sentinel-2 files with the sums in manifest.safe",
    )
    dagans_weights: str = WeightsParameter(
        default="", description="weights of the generator that adapts Proba-V first; default: none"
    )

    def mask_of(self, path: Path) -> CloudMask:
        """Return the task for one scene. Raises `ValueError` for a name of no known sensor."""
        task, option = _known_sensor(path)
        made: CloudMask = self.clone(task, **{option: str(path)})  # type: ignore[no-untyped-call]
        return made


class CloudMasks(AnySensor, luigi.WrapperTask):
    """Mask the clouds of many scenes: Landsat-8/9, Sentinel-2, Proba-V, together."""

    scenes: str = luigi.Parameter(
        description="file with a scene's path on each line, or a glob pattern (in quotes), or one "
        "scene"
    )

    def requires(self) -> list[CloudMask]:
        """Return a task for each scene."""
        return [self.mask_of(path) for path in list_scenes(self.scenes)]


def sensor(path: Path) -> tuple[type[CloudMask], str] | None:
    """Return the task for a scene of this name and its option; no I/O."""
    if is_patch(path) or is_sub_scene(path) or _LANDSAT.fullmatch(path.name):
        return CloudMaskL8, "l8image"
    if _SENTINEL2.fullmatch(path.name):
        return CloudMaskS2, "s2image"
    if _PROBAV.fullmatch(path.name):
        return CloudMaskPV, "pvimage"
    return None


def _known_sensor(path: Path) -> tuple[type[CloudMask], str]:
    kind = sensor(path)
    if kind is None:
        raise ValueError(f"{path} is named like no scene of a known sensor: expected {_NAMES}")
    return kind


def task_of(path: Path, resolution: int = 30, **more: Any) -> CloudMask:
    """Return the task that masks the scene at `path`, with the parameters in `more`.

    `resolution` is that of Sentinel-2 in metres. Raises `ValueError` for a name of no known sensor.
    """
    family, option = _known_sensor(path)
    given: dict[str, Any] = {option: str(path), **more}
    if family is CloudMaskS2:
        given["resolution"] = str(resolution)
    return family(**given)


def list_scenes(given: str, option: str = "--scenes", *, some: bool = True) -> list[Path]:
    """Return the scenes that a file lists, that a pattern matches, or the one scene given.

    A scene is given by its path or its product id. Lines of a file that are empty or begin with `#`
    are left out; relative paths are meant from the current folder. Of what a pattern matches, only
    what is named like a scene counts. `option` is the parameter that messages name; with `some`
    off, a list or a pattern may have none. Raises `FileNotFoundError` and `ValueError` saying what
    was expected.
    """
    path = Path(located(given))
    if sensor(path) and not _is_pattern(given):
        return [path]
    if path.is_file() and path.suffix.lower() in _LISTS:
        return _listed(path, some)
    # Path.glob wants a relative pattern.
    matches = glob.glob(given, recursive=True)  # noqa: PTH207
    found = sorted(each for each in map(Path, matches) if sensor(each))
    if not found and (some or not _is_pattern(given)):
        raise FileNotFoundError(
            f"{option} {given}: neither a file that lists scenes nor a pattern that matches any; "
            "put a pattern in quotes, and name scenes as their distributors do"
        )
    return found


def _listed(path: Path, some: bool) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text: expected the path of a scene on each line") from error
    named = [line.strip() for line in lines]
    listed = (located(line) for line in named if line and not line.startswith("#"))
    found = list(dict.fromkeys(map(Path, listed)))
    if not found and some:
        raise ValueError(f"{path} lists no scene: expected the path of a scene on each line")
    return found


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")
