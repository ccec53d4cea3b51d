"""`PseudoSimultaneousPairs`: what Landsat and Proba-V saw of one place at about one time.

Usage: `luigi --module pipelines PseudoSimultaneousPairs --l8images "scenes/LC08*"
--pvimages "probav/*.HDF5"`
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import luigi

from pipelines.cloud_masks import list_scenes, sensor
from pipelines.convert import ConvertPV
from pipelines.labelled_input import is_part
from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    ProductTarget,
    ProductTask,
    Progress,
)
from pipelines.scene_input import ProbaVInput
from pipelines.shares import parse_shares
from scenes.archive import product_name

if TYPE_CHECKING:
    from scenes.probav_layout import Resolution

__all__ = ["PseudoSimultaneousPairs", "parse_duration"]

_WINDOW, _SPLIT, _SEED = "1h", "60/20/20", 123
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_LARGEST = 1024


class PseudoSimultaneousPairs(ProductTask):
    """Cut patches of Proba-V and of Landsat upscaled, of one place at about one time (HDF5).

    A pair is a converted Landsat scene and a Proba-V product on one lattice whose images overlap,
    with Landsat's moment within `--max-time-difference` of Proba-V's observation interval. A patch
    with any pixel without data in either image is left out; patches begin less than a stride from
    the overlap's corner, there where most are whole. Scenes of one Landsat path and pass share
    ground and never stand in different splits. No labels are in the file.
    """

    algorithm_version = 1
    located = ("l8images", "pvimages", "outfolder", "converted", "name")

    l8images: str = luigi.Parameter(
        description="Landsat-8/9 scenes, or products of ConvertPV: a path, a pattern in quotes, or "
        "a file that lists them; several separated by commas"
    )
    pvimages: str = luigi.Parameter(description="Proba-V L2A products, named in the same ways")
    outfolder: str = luigi.Parameter(default="dataset", description="folder of the file")
    name: str = luigi.Parameter(
        default="simultaneous_landsataspv", description="how the name of the file begins"
    )
    converted: str = luigi.Parameter(
        default="landsataspv", description="folder of the scenes that are converted for this"
    )
    resolution: str = luigi.ChoiceParameter(
        choices=("333M", "100M", "1KM"),
        default="333M",
        description="pixels; products of others are left out",
    )
    max_time_difference: str = luigi.Parameter(
        default=_WINDOW, description="between the two images: 90s, 30m, 1h, 1h30m, 2d"
    )
    max_vza: float | None = luigi.OptionalFloatParameter(
        default=None,
        description="greatest mean view zenith angle of a Proba-V patch, degrees; default: any",
    )
    size: int = luigi.IntParameter(default=64, description="pixels of a patch's edge")
    stride: int = luigi.IntParameter(default=32, description="pixels from one patch to the next")
    split: str = luigi.Parameter(
        default=_SPLIT, description="percent of the patches for training/validation/test"
    )
    seed: int = luigi.IntParameter(default=_SEED, description="what the split is drawn from")

    def output(self) -> ProductTarget:
        """`<outfolder>/<name>[_<choice that is not the default> ...]_<size>_<stride>.hdf5`."""
        choices = {
            f"_{self.resolution}": self.resolution != "333M",
            f"_{self.max_time_difference}": self.max_time_difference != _WINDOW,
            f"_vza{self.max_vza or 0:g}": self.max_vza is not None,
            f"_split{self.split.replace('/', '-')}": self.split != _SPLIT,
            f"_seed{self.seed}": self.seed != _SEED,
        }
        parse_duration(self.max_time_difference), parse_shares(self.split)
        suffix = "".join(text for text, chosen in choices.items() if chosen)
        name = f"{self.name}{suffix}_{self.size}_{self.stride}.hdf5"
        if not self.name or Path(name).name != name:
            raise ValueError(
                f"--name {self.name!r} is no name of a file: put folders in --outfolder"
            )
        return ProductTarget(Path(self.outfolder) / name)

    def requires(self) -> dict[str, luigi.Task]:
        """Return the conversion of each Landsat scene, by the scene's name."""
        scenes: dict[str, luigi.Task] = {}
        for path in self._landsat():
            if not _is_probav(path):
                task = ConvertPV(
                    l8img=str(path), outfolder=self.converted, resolution=self.resolution
                )
                # A folder and its archive are one scene.
                scenes.setdefault(product_name(path), task)
        return scenes

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the Proba-V products, and the scenes that are converted already."""
        given = {"l8images": self._converted(), "pvimages": self._probav()}
        inputs: dict[str, ExternalInput] = {}
        for option, paths in given.items():
            for path in paths:
                # The name is in the file: it names the input, which paths never do.
                place = f"{option} {path.name}"
                if place in inputs:
                    raise ValueError(
                        f"--{option}: {inputs[place].path} and {path} have one name: give one of "
                        "them only"
                    )
                inputs[place] = ProbaVInput(path)
        return inputs

    def time_shares(self) -> int:
        """One for each scene."""
        return max(1, len(self._landsat()) + len(self._probav()))

    def space_needed(self) -> int:
        """Return the bytes that the patches take if each scene is in one pair, and has no fill."""
        from scenes.probav import open_probav

        pixels = 0
        for path in self._images():
            with open_probav(path) as product:
                pixels += product.grid.height * product.grid.width
        # Two images of four bands in float32.
        return int(pixels * (self.size / max(1, self.stride)) ** 2) * 2 * 4 * 4

    def make(self, work: Path, progress: Progress) -> Description:
        """Find the pairs and cut them."""
        from pipelines.paired_patches import PairOptions, write_pairs
        from pipelines.paired_scenes import headers

        if not (4 <= self.size <= _LARGEST and self.stride >= 1):
            raise ValueError(
                f"expected a --size from 4 to {_LARGEST} and a --stride of 1 or more, not "
                f"{self.size} and {self.stride}"
            )
        resolution = cast("Resolution", self.resolution)
        options = PairOptions(
            resolution=resolution,
            size=self.size,
            stride=self.stride,
            window=parse_duration(self.max_time_difference),
            max_view_zenith=self.max_vza,
            shares=parse_shares(self.split),
            seed=self.seed,
        )
        progress(0, "looking for pairs")
        landsat, other_landsat = headers(self._images(), resolution)
        probav, other_probav = headers(self._probav(), resolution)
        done = write_pairs(work, landsat, probav, options, progress)
        return Description(
            id=work.stem,
            interval=done.interval,
            properties={
                "skysieve:pairs": done.pairs,
                "skysieve:patches": dict(done.patches),
                "skysieve:patches_left_out": dict(done.left_out),
                "skysieve:products": {"landsat": len(landsat), "probav": len(probav)},
                "skysieve:products_left_out": other_landsat + other_probav,
            },
            files={"": Described(roles=("data",), title="Patches of Proba-V and Landsat")},
        )

    def verify(self, work: Path) -> None:
        """Open the file and read its last patch."""
        import numpy as np

        from scenes.patches import open_patches

        with open_patches(work, ("PV", "LU")) as patches:
            patches.read(np.array([len(patches) - 1]))

    def _landsat(self) -> list[Path]:
        """Return scenes and converted products as they were given."""
        return _named(self.l8images, "l8images", ("l8image", "pvimage"), "Landsat-8/9 scenes")

    def _converted(self) -> list[Path]:
        return [path for path in self._landsat() if _is_probav(path)]

    def _probav(self) -> list[Path]:
        return _named(self.pvimages, "pvimages", ("pvimage",), "Proba-V products (.HDF5)")

    def _images(self) -> list[Path]:
        """Return all converted scenes."""
        made = cast("Mapping[str, ProductTarget]", self.input())  # type: ignore[no-untyped-call]
        return [*(target.path for target in made.values()), *self._converted()]


def parse_duration(text: str) -> timedelta:
    """Return the time that "90s", "30m", "1h30m" or "2d" says; raises `ValueError` for others."""
    match = _DURATION.fullmatch(text.strip().lower())
    if not match or not match[0]:
        raise ValueError(
            "expected a --max-time-difference of days, hours, minutes and seconds such as 90s, "
            f"30m, 1h30m or 2d, not {text!r}"
        )
    days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _named(given: str, option: str, kinds: Iterable[str], expected: str) -> list[Path]:
    """Return the products that an option names, each once, in order of their names."""
    found: list[Path] = []
    for part in filter(None, (part.strip() for part in given.split(","))):
        try:
            found += list_scenes(part)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"--{option} {part}: neither a product, nor a pattern that matches any, nor a file "
                f"that lists them; expected {expected}, a pattern in quotes"
            ) from error
    for path in found:
        kind = sensor(path)
        if kind is None or kind[1] not in kinds or is_part(path):
            raise ValueError(f"--{option}: {path} is named like none; expected {expected}")
    if not found:
        raise ValueError(f"--{option} is empty: expected {expected}")
    return sorted(dict.fromkeys(found), key=lambda path: (path.name, str(path)))


def _is_probav(path: Path) -> bool:
    kind = sensor(path)
    return kind is not None and kind[1] == "pvimage"
