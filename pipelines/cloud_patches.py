"""`CloudPatches`: patches of labelled scenes, of which cloud detectors learn.

Usage: `luigi --module pipelines CloudPatches --scenes "biome/*/LC8*" --labels biome --bands rgbi`
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import luigi

from pipelines.convert import ConvertPV
from pipelines.labelled_input import LabelledInput, is_part, labelled_name, list_labelled
from pipelines.masks import LANDSAT_BANDS, MODELS
from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    ProductTarget,
    ProductTask,
    Progress,
)
from pipelines.scene_input import LandsatInput
from pipelines.shares import parse_shares
from scenes.cloud38_layout import is_patch
from scenes.probav_layout import BANDS as PROBAV_BANDS

if TYPE_CHECKING:
    from pipelines.labelled_patches import Share
    from pipelines.labelled_scenes import LabelSet, Thin
    from scenes.labels import LabelKind

__all__ = ["CloudPatches"]

_log = logging.getLogger("luigi-interface.skysieve")
_PROBAV = "probav"
# Labels that tell thin clouds from thick ones.
_THIN_TOLD = ("biome", "simulated")
# Pixels of the edge of the largest patch that files of patches hold.
_LARGEST = 4096


class CloudPatches(ProductTask):
    """Cut labelled scenes into patches for training, validation and test, parted by scene."""

    algorithm_version = 1
    located = ("scenes", "outfolder", "name", "converted")

    scenes: str = luigi.Parameter(
        description="file with a scene's path on each line, or a glob pattern (in quotes), or one "
        "scene; of SPARCS the *_data.tif, of patches of 38-Cloud the red_patch_*.TIF"
    )
    labels: str = luigi.ChoiceParameter(
        choices=("biome", "38c", "sparcs", "simulated"),
        default="biome",
        description="labels of the scenes: L8 Biome's, 38-Cloud's, SPARCS's, the truth of "
        "simulated ones",
    )
    bands: str = luigi.ChoiceParameter(
        choices=("rgbi", "rgbiswir", _PROBAV),
        default="rgbiswir",
        description="bands of the patches: B2-B5, B2-B7, or those of Proba-V, to which scenes are "
        "then converted",
    )
    resolution: str = luigi.ChoiceParameter(
        choices=("333M", "100M"), default="333M", description="pixels of --bands probav"
    )
    size: int = luigi.IntParameter(default=128, description="pixels of a patch's edge")
    stride: int = luigi.IntParameter(
        default=128, description="pixels from one patch to the next; less than --size: they overlap"
    )
    thin: str = luigi.ChoiceParameter(
        choices=("cloud", "ignore", "clear"),
        default="cloud",
        description="what thin clouds count as (of L8 Biome and simulated scenes)",
    )
    min_valid: float = luigi.FloatParameter(
        default=0.5, description="least share of labelled pixels in a patch, 0 to 1"
    )
    split: str = luigi.Parameter(
        default="60/20/20", description="percent of the patches for training, validation and test"
    )
    seed: int = luigi.IntParameter(default=123, description="what the split is drawn from")
    strata: str = luigi.Parameter(
        default="",
        description="regular expression with one group, which finds in a scene's path what each "
        "split shall have its share of, such as the surface; default: nothing",
    )
    outfolder: str = luigi.Parameter(
        default="dataset", description="folder of the products, made if missing"
    )
    name: str = luigi.Parameter(default="cloudpatches", description="how the file's name begins")
    converted: str = luigi.Parameter(
        default="landsataspv", description="folder of the products that scenes are converted to"
    )

    def output(self) -> ProductTarget:
        """`<outfolder>/<name>_<bands>[_<resolution>]_<size>_<stride>[_<choice> ...].hdf5`.

        The choices are those that are not the default, but for `--strata`.
        """
        choices = {
            f"_{self.labels}": self.labels != "biome",
            f"_thin{self.thin}": self.thin != "cloud",
            f"_valid{self.min_valid:g}": self.min_valid != 0.5,
            f"_split{self.split.replace('/', '-')}": self.split != "60/20/20",
            f"_seed{self.seed}": self.seed != 123,
        }
        bands = f"{self.bands}_{self.resolution}" if self._is_converted else self.bands
        suffix = "".join(text for text, chosen in choices.items() if chosen)
        name = f"{self.name}_{bands}_{self.size}_{self.stride}{suffix}.hdf5"
        if not self.name or Path(name).name != name:
            raise ValueError(
                f"--name {self.name!r} is no beginning of a file's name: choose the folder by "
                "--outfolder"
            )
        return ProductTarget(Path(self.outfolder) / name)

    def requires(self) -> dict[str, ConvertPV]:
        """Return the conversion of each scene, with `--bands probav`."""
        if not self._is_converted:
            return {}
        return {key: self._conversion(path) for key, path in self._paths().items()}

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return bands and labels of each scene, unless they are converted."""
        if self._is_converted:
            return {}
        return {key: self._input(path) for key, path in self._paths().items()}

    def time_shares(self) -> int:
        """One for each scene."""
        return max(1, len(self._paths()))

    def make(self, work: Path, progress: Progress) -> Description:
        """Cut and write."""
        from pipelines.labelled_patches import Cut, write_cloud_patches
        from pipelines.labelled_scenes import LabelledSource

        kind = cast("LabelSet", "converted" if self._is_converted else self.labels)
        sources = [
            LabelledSource(
                labelled_name(path),
                self._conversion(path).product if self._is_converted else path,
                kind,
                self._stratum(path),
            )
            for path in self._paths().values()
        ]
        cut = Cut(
            self.size,
            self.stride,
            self.min_valid,
            cast("Thin", self.thin),
            parse_shares(self.split),
            self.seed,
        )
        attributes: dict[str, str | int | float] = {
            "labels": self.labels,
            "resolution": self.resolution if self._is_converted else "30 m",
            "size": self.size,
            "stride": self.stride,
            "thin": self.thin,
            "min_valid": self.min_valid,
            "seed": self.seed,
        }
        done = write_cloud_patches(work, sources, self.band_names, cut, attributes, progress)
        for split, share in done.splits.items():
            _log.info("%s: %s: %s", self.product.name, split, _in_words(share))
        if self._lacks_split(done.splits):
            _log.warning(
                "%s: too few groups of scenes for --split %s: give more scenes",
                self.product.name, self.split,
            )  # fmt: skip
        _log.info(
            "%s: %d patches with less than %g %% of labelled pixels were left out",
            self.product.name, done.left_out, 100 * self.min_valid,
        )  # fmt: skip
        start, end = done.interval
        return Description(
            acquired=start if start == end else None,
            interval=None if start == end else (start, end),
            properties={
                "skysieve:splits": {
                    split: {
                        "groups": share.groups,
                        "scenes": share.scenes,
                        "patches": share.patches,
                        "cloud": None if share.cloud is None else round(share.cloud, 6),
                    }
                    for split, share in done.splits.items()
                },
                "skysieve:patches_left_out": done.left_out,
                "skysieve:bands": list(self.band_names),
            },
            files={"": Described(roles=("data",), title="Patches of labelled scenes")},
        )

    def verify(self, work: Path) -> None:
        """Open the file as training does, and read the first and the last patch."""
        import numpy as np

        from scenes.patches import open_patches

        with open_patches(work, ("image", "cloud")) as patches:
            patches.read(np.array([0, len(patches) - 1]))

    @property
    def band_names(self) -> tuple[str, ...]:
        """The bands of the patches, in order."""
        return PROBAV_BANDS if self._is_converted else LANDSAT_BANDS[: MODELS[self.bands][1]]

    @property
    def _is_converted(self) -> bool:
        return self.bands == _PROBAV

    def _lacks_split(self, splits: Mapping[str, Share]) -> bool:
        """Tell whether a split that was asked for got nothing."""
        shares = parse_shares(self.split)
        return any(s and not got.patches for s, got in zip(shares, splits.values(), strict=True))

    def _paths(self) -> dict[str, Path]:
        """Return the scenes by name and stratum, which both decide the product, in their order.

        Raises `ValueError` for parameters that do not fit, and for two scenes of one name.
        """
        self._check()
        found: dict[str, Path] = {}
        names: dict[str, Path] = {}
        for path in list_labelled(self.scenes, self.labels):
            self._check_scene(path)
            name, stratum = labelled_name(path), self._stratum(path)
            if name in names:
                raise ValueError(
                    f"--scenes names {name} twice, {names[name]} and {path}: give each scene once"
                )
            names[name] = path
            found[f"{name} ({stratum})" if stratum else name] = path
        return dict(sorted(found.items()))

    def _check(self) -> None:
        """Raise `ValueError` for parameters that do not fit together."""
        if not 1 <= self.size <= _LARGEST or self.stride < 1 or not 0 <= self.min_valid <= 1:
            raise ValueError(
                f"expected a --size of 1 to {_LARGEST} pixels, a --stride of 1 or more and a "
                f"--min-valid from 0 to 1, not {self.size}, {self.stride} and {self.min_valid:g}"
            )
        parse_shares(self.split)
        if self.thin != "cloud" and (self._is_converted or self.labels not in _THIN_TOLD):
            raise ValueError(
                f"--thin {self.thin} needs labels that tell thin clouds from thick ones, which "
                "those of L8 Biome and of simulated scenes do at 30 m: leave it out, or choose "
                "other --labels and --bands"
            )

    def _check_scene(self, path: Path) -> None:
        """Raise `ValueError` for a scene that does not have what is asked for."""
        if self._is_converted and is_part(path):
            raise ValueError(
                f"{path} cannot be converted to Proba-V: it is too small a part of a scene to be "
                "seen through such wide pixels, and patches of 38-Cloud lack B1 and B6; give whole "
                "scenes, or --bands rgbi"
            )
        if self.bands == "rgbiswir" and is_patch(path):
            raise ValueError(f"{path}: patches of 38-Cloud lack B6 and B7; choose --bands rgbi")

    def _conversion(self, path: Path) -> ConvertPV:
        return ConvertPV(
            l8img=str(path),
            outfolder=self.converted,
            resolution=self.resolution,
            type_product=self.labels,
        )

    def _input(self, path: Path) -> ExternalInput:
        if is_part(path):
            return LabelledInput(path, self.band_names)
        return LandsatInput(path, self.band_names, labels=cast("LabelKind", self.labels))

    def _stratum(self, path: Path) -> str:
        if not self.strata:
            return ""
        try:
            pattern = re.compile(self.strata)
        except re.error as error:
            raise ValueError(f"--strata {self.strata} is no regular expression: {error}") from error
        if pattern.groups != 1:
            raise ValueError(
                f"--strata {self.strata} has {pattern.groups} groups: expected one, such as in "
                "'_1024_([a-z]+)_'"
            )
        match = pattern.search(path.as_posix())
        if match is None or not match[1]:
            raise ValueError(f"--strata {self.strata} finds nothing in {path}")
        return match[1]


def _in_words(share: Share) -> str:
    cover = "none" if share.cloud is None else f"{100 * share.cloud:.1f} % are cloud"
    return (
        f"{share.groups} groups, {share.scenes} scenes, {share.patches} patches; of the labelled "
        f"pixels {cover}"
    )
