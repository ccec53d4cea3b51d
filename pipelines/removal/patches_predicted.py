"""What networks that remove clouds make of patches. No Luigi.

Usage: `for each in predict_triplets("run/dsen2cr.weights.h5", triplets, indices): each.predicted`

Each patch is predicted by itself, padded as in the training: what lies around it is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.inference.network import Predict, Stage
from models.removal.cover import cover
from models.removal.inputs import OPTICAL, network_input
from models.training.batches import ordered
from models.weights.loading import inspect_weights
from pipelines.inference import Weights, load_network
from pipelines.weights import weights_file, weights_sha256, weights_title

if TYPE_CHECKING:
    from models.training.batches import Samples

__all__ = ["Patch", "Predicted", "Remover", "load_remover", "predict_triplets", "read_patches"]

# Patches that are read at once; three such readings may wait.
_TOGETHER = 4


@dataclass(frozen=True)
class Patch:
    """A triplet as it is read: `index` is its place in the set.

    `cloudy` and `clear` (the target) are `(height, width, 13)` float32 TOA reflectance, `sar` is
    `(height, width, 2)` float32, dB; `covered` is `(height, width)` bool, True where by the
    published rule a cloud or its shadow covers the ground in `cloudy`.
    """

    index: int
    cloudy: NDArray[np.float32]
    clear: NDArray[np.float32]
    sar: NDArray[np.float32]
    covered: NDArray[np.bool_]


@dataclass(frozen=True)
class Predicted(Patch):
    """A triplet with what a network makes of it.

    `predicted` is `(height, width, 13)` float32 reflectance, not clipped. `log_scale` is of the
    same shape, the log of the Laplace scale of each band's error in units of 0.2 reflectance; None
    where the network does not tell it.
    """

    predicted: NDArray[np.float32]
    log_scale: NDArray[np.float32] | None


@dataclass(frozen=True)
class Remover:
    """A network that removes clouds, loaded; `reads_sar` tells whether it sees the SAR image."""

    name: str
    stage: Stage
    _functions: dict[tuple[int, int], Predict] = field(default_factory=dict, repr=False)

    @property
    def reads_sar(self) -> bool:
        """Whether the network sees the SAR image."""
        return self.stage.bands > OPTICAL

    def __call__(
        self, cloudy: NDArray[np.float32], sar: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return `predicted` and `log_scale` of a patch; see `Patch` and `Predicted`."""
        height, width = cloudy.shape[:2]
        if (height, width) not in self._functions:
            self._functions[height, width] = self.stage.runtime.whole((height, width), 1)
        given = network_input(cloudy, sar if self.reads_sar else None)
        # The next call writes into the same array.
        found = self._functions[height, width](np.ascontiguousarray(given)).copy()
        if found.shape[-1] == OPTICAL:
            return found, None
        return np.ascontiguousarray(found[..., :OPTICAL]), found[..., OPTICAL:].copy()


def load_remover(
    weights: str,
    name: str = "",
    *,
    runtime: str = "openvino",
    precision: str = "f32",
    device: str = "auto",
) -> Remover:
    """Load weights that remove clouds, a registry name or a path whose file is there.

    `name` is what the network is called, by default as its weights are. Raises what
    `pipelines.inference.load_network` raises, `ValueError` for weights of another network.
    """
    bands = inspect_weights(weights_file(weights), sha256=weights_sha256(weights)).bands
    used = Weights(weights, "remover", bands)
    network = load_network([used], None, runtime, precision, device)
    return Remover(name or weights_title(weights), network.stages[0])


def read_patches(triplets: Samples, indices: NDArray[np.int64]) -> Iterator[Patch]:
    """Yield the triplets `indices` in their order, read ahead by a thread.

    `triplets` is a `scenes.triplets.TripletSet`. Raises what reading them raises.
    """
    places = iter(np.asarray(indices, np.int64).tolist())
    for batch in ordered(triplets, indices, _TOGETHER):
        for cloudy, clear, sar in zip(batch["cloudy"], batch["clear"], batch["sar"], strict=True):
            yield Patch(next(places), cloudy, clear, sar, cover(cloudy))


def predict_triplets(
    weights: str | Remover, triplets: Samples, indices: NDArray[np.int64]
) -> Iterator[Predicted]:
    """Yield what a network makes of the triplets `indices`, in their order.

    `weights` is what `load_remover` takes, or what it returned. Raises what that and
    `read_patches` raise.
    """
    remover = load_remover(weights) if isinstance(weights, str) else weights
    yield from _predicted(remover, read_patches(triplets, indices))


def _predicted(remover: Remover, patches: Iterable[Patch]) -> Iterator[Predicted]:
    for each in patches:
        predicted, log_scale = remover(each.cloudy, each.sar)
        yield Predicted(
            each.index, each.cloudy, each.clear, each.sar, each.covered, predicted, log_scale
        )
