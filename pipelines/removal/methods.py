"""What is compared when clouds are removed: networks, and what any of them must beat. No Luigi.

Usage: `methods = all_methods([remover], ground)`, `methods[0].predict(patch, sar)`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.baselines.filling import band_mean, inpaint
from pipelines.removal.patches_predicted import Patch, Remover

__all__ = ["FLOOR", "INPUT", "ClearGround", "Kind", "Method", "all_methods", "other_scenes"]

# Names in tables and reports. The floor is no method: it is what the target itself would have.
INPUT, MEAN, INPAINTED, FLOOR = "cloudy input", "band mean", "inpainting", "target itself"

Kind: TypeAlias = Literal["baseline", "network", "network, SAR shuffled"]
_Predict = Callable[[Patch, NDArray[np.float32]], NDArray[np.float32]]


class ClearGround:
    """Mean reflectance of the clear pixels of scenes, gathered patch by patch."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._counts: dict[str, int] = {}

    def add(self, scene: str, patch: Patch) -> None:
        """Take in a patch of a scene."""
        clear = patch.cloudy[~patch.covered]
        if len(clear):
            self._sums[scene] = self._sums.get(scene, 0) + clear.sum(axis=0, dtype=np.float64)
            self._counts[scene] = self._counts.get(scene, 0) + len(clear)

    def mean(self, scene: str) -> NDArray[np.float32] | None:
        """Return the mean of a scene, `(bands,)`; of all scenes where no pixel of it is clear.

        None where no pixel was clear at all.
        """
        if not self._counts:
            return None
        if scene in self._counts:
            total, count = self._sums[scene], self._counts[scene]
        else:
            total, count = np.sum(list(self._sums.values()), axis=0), sum(self._counts.values())
        return np.asarray(total / count, np.float32)


@dataclass(frozen=True)
class Method:
    """One that predicts what lies under clouds; `predict` takes a patch and a SAR image for it.

    `reads` is what it reads of them, in words; `network` the name of the network, "" of none.
    """

    name: str
    kind: Kind
    reads: str
    predict: _Predict
    network: str = ""

    @property
    def shuffled(self) -> bool:
        """Whether it is to be given the SAR image of another scene."""
        return self.kind == "network, SAR shuffled"


def all_methods(
    removers: Sequence[Remover],
    ground: ClearGround,
    scenes: Mapping[int, str],
    *,
    shuffle: bool = True,
) -> list[Method]:
    """Return the networks and the baselines; `scenes` is the scene of each patch by its index.

    With `shuffle` each network that reads SAR is there twice, the second time to be given that of
    another scene.
    """
    methods = []
    for remover in removers:
        reads = "optical and SAR" if remover.reads_sar else "optical"
        own = _network(remover)
        methods.append(Method(remover.name, "network", reads, own, remover.name))
        if shuffle and remover.reads_sar:
            methods.append(
                Method(
                    f"{remover.name}, SAR shuffled", "network, SAR shuffled",
                    "optical, and SAR of another scene", own, remover.name,
                )
            )  # fmt: skip

    def filled(fill: Callable[..., NDArray[np.float32]]) -> _Predict:
        def predict(patch: Patch, sar: NDArray[np.float32]) -> NDArray[np.float32]:
            mean = ground.mean(scenes[patch.index])
            # Without any clear pixel anywhere there is nothing to fill from.
            return patch.cloudy if mean is None else fill(patch.cloudy, patch.covered, mean)

        return predict

    return [
        *methods,
        Method(INPAINTED, "baseline", "optical, clear pixels of the patch", filled(inpaint)),
        Method(MEAN, "baseline", "optical, clear pixels of the scene", filled(band_mean)),
        Method(INPUT, "baseline", "optical", lambda patch, sar: patch.cloudy),
    ]


def other_scenes(scenes: Mapping[int, str], seed: int = 0) -> dict[int, int]:
    """Return for each patch, by its index, one of another scene, drawn by `seed`.

    It is empty where there is one scene only.
    """
    draw = np.random.default_rng(seed)
    indices = np.array(list(scenes), np.int64)
    names = np.array([scenes[index] for index in indices.tolist()])
    found: dict[int, int] = {}
    for index in indices.tolist():
        others = indices[names != scenes[index]]
        if len(others):
            found[index] = int(draw.choice(others))
    return found


def _network(remover: Remover) -> _Predict:
    return lambda patch, sar: remover(patch.cloudy, sar)[0]
