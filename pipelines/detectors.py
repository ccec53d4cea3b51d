"""What finds clouds in a scene, by a short text.

Usage: `detector("simulated_rgbi").mask(Path("LC08_..."), outfolder="masks")`

A detector is one of:

- `rgbi`, `rgbiswir`: the published networks for Landsat and Sentinel-2;
- weights by their name or path, `simulated_probav`, `mine`, `run/unet.weights.h5@rgbi` (a path for
  Landsat or Sentinel-2 says which model's bands it reads); for Proba-V also `GENERATOR+DETECTOR`,
  which adapts the image first;
- `operational`: the mask that comes with the product (quality band, MSK_CLASSI or MSK_CLOUDS, SM);
- `all-clear`: the mask without a cloud;
- files of masks: a path with `{scene}` in it, `masks/{scene}_clouds.tif`; with `@KIND` behind it,
  masks of another kind, such as a class map's, `masks/{scene}.tif@fmask.toml`.

Each can be given a name of its own for tables: `NAME=...`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipelines.checkpoint import named
from pipelines.cloud_masks import task_of
from pipelines.evaluation.pair import ALL_CLEAR
from pipelines.mask import CloudMask, scene_name
from pipelines.masks import MODELS, CloudMaskL8, CloudMaskPV, CloudMaskS2
from pipelines.weights import WeightsParameter, weights_inputs, weights_title

__all__ = ["Detector", "FoundMask", "detector", "detectors"]

_OPERATIONAL = "operational"
_SCENE = "{scene}"
# The kind of a product's own mask, by what masks its scenes.
_OWN = {CloudMaskL8: "qa", CloudMaskS2: "s2-masks", CloudMaskPV: "probav-sm"}
_NAME = re.compile(r"[\w .+-]+")


@dataclass(frozen=True)
class FoundMask:
    """Where the mask of a scene is, and what makes it; kinds are those of `scenes.class_kinds`."""

    path: Path
    kind: str
    task: CloudMask | None = None
    probability: Path | None = None


@dataclass(frozen=True)
class Detector:
    """What finds clouds: `name` is for tables, `what` the text without it."""

    name: str
    what: str

    def mask(self, scene: Path, outfolder: str, resolution: int = 30) -> FoundMask:
        """Return the mask of a scene, and the task that makes it in `outfolder` if one must.

        `resolution` is that of Sentinel-2's masks in metres. Raises `ValueError` for a scene of no
        known sensor, and for weights that are not of its bands.
        """
        if _SCENE in self.what:
            pattern, _, kind = self.what.partition("@")
            return FoundMask(Path(pattern.replace(_SCENE, scene_name(scene))), kind or "mask")
        if self.what == ALL_CLEAR:
            return FoundMask(scene, ALL_CLEAR)
        family = type(task_of(scene))
        if self.what == _OPERATIONAL:
            return FoundMask(scene, _OWN[family])
        given = {"outfolder": outfolder, "probability": True, **self._weights(family)}
        task = task_of(scene, resolution, **given)
        target = task.output()
        (probability,) = (target.path.with_name(each) for each in target.companions)
        return FoundMask(target.path, "mask", task, probability)

    def _weights(self, family: type[CloudMask]) -> dict[str, str]:
        """Return the parameters of a mask task that say which networks it runs."""
        parse = WeightsParameter().parse
        if family is CloudMaskPV:
            generator, _, name = self.what.rpartition("+")
            return {"cloud_detection_weights": parse(name), "dagans_weights": parse(generator)}
        name, _, model = self.what.partition("@")
        if name in MODELS:
            return {"namemodel": name}
        value = parse(name)
        return {"weights": value, "namemodel": model or _model(value)}


def detector(text: str) -> Detector:
    """Return the detector of a text. Raises `ValueError` for one without a name or a detector."""
    name, named_so, what = (part.strip() for part in text.partition("="))
    if "/" in name or not named_so:
        # An equal sign in a folder's name.
        name, named_so, what = "", "", text.strip()
    if not what or (named_so and not _NAME.fullmatch(name)):
        raise ValueError(f"expected a detector, [NAME=]WHAT, such as operational, not {text!r}")
    if named_so:
        return Detector(name, what)
    if _SCENE in what:
        stem = Path(what.partition("@")[0]).stem.replace(_SCENE, "").strip("_-. ")
        return Detector(stem or "masks", what)
    if what in (_OPERATIONAL, ALL_CLEAR):
        return Detector(what, what)
    parts = what.partition("@")[0].split("+")
    return Detector("+".join(weights_title(part) for part in parts), what)


def detectors(text: str) -> list[Detector]:
    """Return the detectors of a list with commas. Raises `ValueError` where two share a name."""
    found = [detector(part) for part in text.split(",") if part.strip()]
    names = [each.name for each in found]
    if not found or len(set(names)) < len(names):
        raise ValueError(
            f"expected detectors with names of their own, NAME=WHAT, separated by commas, not "
            f"{text!r}"
        )
    return found


def _model(value: str) -> str:
    """Return the model whose bands weights read, by the registry."""
    if weights_inputs(value):
        raise ValueError(
            f"{value} does not say which bands it reads: write {value}@rgbi or @rgbiswir"
        )
    bands = {len(names) for names in named(value).bands.values()}
    for model, (_, count) in MODELS.items():
        if count in bands:
            return model
    raise ValueError(
        f"{value} reads {', '.join(map(str, bands))} bands: expected weights for those of "
        f"{' or '.join(MODELS)}"
    )
