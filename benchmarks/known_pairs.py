"""Pairs of images of two sensors whose difference is known.

Usage: `views = {"train": seen(work, names, Instrument.drawn(1), 1)}`,
`write_pairs(path, views, seed=1)`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiment import read_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PATCH = 64
BANDS = ("BLUE", "RED", "NIR", "SWIR")
# Least and greatest change of a gain, and offset in reflectance, of either sign.
GAIN, OFFSET = (0.04, 0.10), (0.01, 0.03)
# Standard deviations of the blur in pixels and of the noise in reflectance.
BLUR, NOISE = 0.5, 0.003


@dataclass(frozen=True)
class Instrument:
    """How another sensor sees the same ground: `gain * blurred + offset + noise` in each band."""

    gain: tuple[float, ...]
    offset: tuple[float, ...]

    @classmethod
    def drawn(cls, seed: int, bands: int = 4) -> Instrument:
        """Return the instrument of a seed; every band differs by more than the noise."""
        import numpy as np

        draw = np.random.default_rng(seed)
        gain = 1 + draw.choice([-1, 1], bands) * draw.uniform(*GAIN, bands)
        offset = draw.choice([-1, 1], bands) * draw.uniform(*OFFSET, bands)
        return cls(tuple(gain.tolist()), tuple(offset.tolist()))

    def see(self, image: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        """Return what it sees of `(height, width, bands)`; invalid pixels (NaN) stay so."""
        import numpy as np
        from scipy.ndimage import gaussian_filter

        known = np.isfinite(image)
        sigma = (BLUR, BLUR, 0)
        weight = gaussian_filter(known.astype(np.float64), sigma)
        blurred = gaussian_filter(np.where(known, image, 0).astype(np.float64), sigma)
        blurred /= np.maximum(weight, 1e-9)
        noise = np.random.default_rng(seed).normal(0, NOISE, image.shape)
        seen = blurred * self.gain + self.offset + noise
        return np.where(known, seen, np.nan).astype(np.float32)

    def invert(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the image without gain and offset; blur and noise stay."""
        import numpy as np

        return ((image - np.array(self.offset)) / np.array(self.gain)).astype(np.float32)


@dataclass(frozen=True)
class View:
    """A scene seen by both sensors: `(height, width, 4)`, NaN where invalid, and its cloud."""

    name: str
    lu: NDArray[np.float32]
    pv: NDArray[np.float32]
    cloud: NDArray[np.float32]


def seen(work: Path, names: Sequence[str], instrument: Instrument, seed: int) -> list[View]:
    """Return converted scenes by name, as both sensors see them; `seed` is that of the noise."""
    from pipelines.labelled_scenes import LabelledSource, open_labelled
    from scenes.grid import Rows

    found = []
    for number, name in enumerate(names):
        path = work / "converted" / f"{name}_100M_simulated.HDF5"
        with open_labelled(LabelledSource(name, path, "converted"), BANDS) as scene:
            lu = read_rows(scene.image)
            cloud = scene.cloud(Rows(0, scene.image.shape[0]))
        noise = 10_000 * seed + number
        found.append(View(name, lu, instrument.see(lu, noise), cloud))
    return found


def write_pairs(path: Path, views: Mapping[str, Sequence[View]], seed: int) -> Path:
    """Write training and validation patches, those of LU in unrelated order; return `path`."""
    import numpy as np

    from scenes.patches import PatchArray, Split, create_patches

    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    shape = PatchArray((PATCH, PATCH, 4))
    draw = np.random.default_rng(seed)
    text = {"made by": "benchmarks/adaptation.py", "seed": seed}
    with create_patches(partial, {"PV": shape, "LU": shape}, bands=BANDS,
                        attributes=text) as out:  # fmt: skip
        assigned = {}
        for part in ("train", "validation"):
            lu, pv = (
                np.concatenate([patches(getattr(v, key), v.lu) for v in views[part]])
                for key in ("lu", "pv")
            )
            scene = out.add_scene(name=part, group=part)
            order = draw.permutation(len(lu))
            out.add(scene, {"PV": pv, "LU": lu[order]}, other=order)
            assigned[part] = Split[part.upper()]
        out.assign(assigned)
    # As long as it is the same, trainings on it are done.
    if path.exists() and path.read_bytes() == partial.read_bytes():
        partial.unlink()
    else:
        partial.replace(path)
    return path


def valid(image: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the pixels of an image where all bands of `known` are valid, `(n, bands)`."""
    import numpy as np

    return image[np.isfinite(known).all(axis=-1)]


def patches(image: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the patches of an image, edge to edge, in which all of `known` is valid."""
    import numpy as np

    height, width, bands = image.shape
    # What is left over is at the edges, which converted scenes do not fill.
    tops, lefts = (range(length % PATCH // 2, length - PATCH + 1, PATCH)
                   for length in (height, width))  # fmt: skip
    cut = [(slice(top, top + PATCH), slice(left, left + PATCH)) for top in tops for left in lefts]
    kept = [image[place] for place in cut if np.isfinite(known[place]).all()]
    return np.array(kept, np.float32).reshape(-1, PATCH, PATCH, bands)
