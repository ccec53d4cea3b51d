"""Supervised training of a network that finds clouds, pixel by pixel.

Usage: `learner = Segmentation(build_unet(4), Options(), clouds=0.4)`, `learner.step(batch)`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.metrics.confusion import Confusion
from models.networks.reach import neutral_input
from models.training.augment import with_edges
from models.training.batches import Batch
from models.training.device import Precision, caller, compiled, mix
from models.training.losses import weighted_crossentropy

__all__ = ["Options", "Segmentation", "class_weights"]

# The greatest weight that balancing gives a class.
_MOST = 20.0
# Of moving statistics. Those of some dozen steps are steady with thousands of pixels each; Keras's
# 0.99 would lag behind the weights, and spoil validation, for hundreds of steps.
_MOMENTUM = 0.9


@dataclass(frozen=True)
class Options:
    """How a network is trained.

    The rate of learning falls by the factor `decay` with each pass of `steps` steps. `weight_decay`
    is that of AdamW on kernels. `balanced` gives cloud and clear the same weight in the loss.
    `edges` is the share of patches, 0-1, that end at a random line, as scenes do: beyond it there
    is no data, which a network that never saw any takes for cloud. Raises `ValueError` for a rate
    that is not above 0, a decay outside (0, 1], fewer steps than 1, a negative weight decay, and a
    share outside.
    """

    learning_rate: float = 1e-3
    decay: float = 1.0
    steps: int = 1
    weight_decay: float = 1e-4
    balanced: bool = True
    edges: float = 0.0
    precision: Precision = "f32"

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if not 0 < self.learning_rate < np.inf:
            raise ValueError(f"expected a rate of learning above 0, not {self.learning_rate}")
        if not 0 < self.decay <= 1:
            raise ValueError(f"expected a decay above 0, at most 1, not {self.decay}")
        if self.steps < 1:
            raise ValueError(f"expected at least 1 step between decays, not {self.steps}")
        if not 0 <= self.edges <= 1:
            raise ValueError(f"expected a share of edges from 0 to 1, not {self.edges}")
        if not 0 <= self.weight_decay < np.inf:
            raise ValueError(f"expected a weight decay of at least 0, not {self.weight_decay}")


class Segmentation:
    """A network that is trained on labels; see `models.training.plan.Learner`.

    Reads batches of `image`, `(n, height, width, bands)` float32 TOA reflectance 0-1, and `cloud`,
    `(n, height, width)` float32: the fraction of cloud 0-1, -1 where nothing is to be learnt.
    """

    def __init__(self, network: keras.Model, options: Options, clouds: float) -> None:
        """Take a network that yields logits; `clouds` is the share of cloud in the data, 0-1.

        The share is what balancing goes by. Initial weights are those of the network.
        """
        self.networks: Mapping[str, keras.Model] = {network.name: network}
        self._network = network
        self._edges = options.edges
        mix(network, options.precision)
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = _MOMENTUM
        self._call = caller(options.precision)
        self._neutral = neutral_input(network)
        self._weights = class_weights(clouds) if options.balanced else (1.0, 1.0)
        self._optimizer = keras.optimizers.AdamW(
            keras.optimizers.schedules.ExponentialDecay(
                options.learning_rate, options.steps, options.decay, staircase=True
            ),
            weight_decay=options.weight_decay,
        )
        # Kernels only: the others do not make a network more complicated.
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self._optimizer.build(network.trainable_variables)
        self._update = tf.function(self._step, autograph=False)
        self._predict = compiled(self._call, network)

    @property
    def variables(self) -> Sequence[keras.Variable]:
        """All that training changes."""
        return [*self._network.variables, *self._optimizer.variables]

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Update the network; return the loss before it."""
        if self._edges:
            number = int(self._optimizer.iterations.numpy())
            image, cloud = with_edges(batch["image"], batch["cloud"], self._edges, number)
            batch = {"image": image, "cloud": cloud}
        arrays = (self._filled(batch), batch["cloud"])
        return {"loss": float(self._update(*map(tf.convert_to_tensor, arrays)))}

    def evaluate(self, batches: Iterable[Batch]) -> Mapping[str, float]:
        """Return the loss, and scores of the decisions at a probability of 0.5.

        `balanced_accuracy` is the mean of producer's accuracy and specificity, of which the first
        is named `recall`, and `f1` is of cloud; they are pooled over all pixels that are labelled.
        """
        losses, weights, counts = 0.0, 0.0, Confusion()
        for batch in batches:
            logits = self._logits(batch)
            cloud = np.asarray(batch["cloud"])
            weight = np.asarray(self._weighted(cloud))
            total = float(weight.sum())
            loss = weighted_crossentropy(np.maximum(cloud, 0), logits, weight)
            losses, weights = losses + float(loss) * total, weights + total
            counts += Confusion.of(cloud, logits >= 0)
        return {
            "loss": losses / weights if weights else np.nan,
            "balanced_accuracy": counts.balanced_accuracy,
            "recall": counts.producers_accuracy,
            "f1": counts.f1,
        }

    def pictures(self, batch: Batch) -> Mapping[str, NDArray[np.float32]]:
        """Return image, label and probability; what is not labelled is blue."""
        cloud = np.asarray(batch["cloud"])[..., None]
        image = np.asarray(batch["image"])
        first = image[..., [2, 1, 0]] if image.shape[-1] > 2 else image[..., :1].repeat(3, -1)
        label = np.where(cloud < 0, np.array([0, 0, 0.6]), cloud)
        probability = 1 / (1 + np.exp(-self._logits(batch)[..., None]))
        return {
            "image": np.clip(first, 0, 1).astype(np.float32),
            "label": label.astype(np.float32),
            "probability": probability.repeat(3, -1).astype(np.float32),
        }

    def _step(self, image: tf.Tensor, cloud: tf.Tensor) -> tf.Tensor:
        trained = self._network.trainable_variables
        with tf.GradientTape() as tape:
            logits = self._call(self._network, image, training=True)[..., 0]
            loss = weighted_crossentropy(tf.maximum(cloud, 0.0), logits, self._weighted(cloud))
        # A bias before a normalisation has no gradient: it changes nothing.
        found = tape.gradient(
            loss,
            [each.value for each in trained],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        self._optimizer.apply(found, trained)
        return loss

    def _weighted(self, cloud: Any) -> Any:
        """Return the weight of each pixel, 0 where nothing is to be learnt."""
        clear, covered = self._weights
        weight = clear + (covered - clear) * cloud
        return keras.ops.where(keras.ops.less(cloud, 0), 0.0, weight)

    def _filled(self, batch: Batch) -> NDArray[np.float32]:
        """Return the images; pixels without data, 0 in each band, hold what means nothing.

        Inference fills them in the same way (`models.inference.tiling`).
        """
        image = np.asarray(batch["image"])
        missing = (np.asarray(batch["cloud"]) < 0) & ~image.any(axis=-1)
        return np.where(missing[..., None], self._neutral, image) if missing.any() else image

    def _logits(self, batch: Batch) -> NDArray[np.float32]:
        return self._predict(self._filled(batch))[..., 0]


def class_weights(clouds: float) -> tuple[float, float]:
    """Return the weights of clear and of cloud that make both count alike, 1 on average.

    `clouds` is the share of cloud, 0-1; a weight is at most 20, so that a class that is next to
    absent does not rule. Raises `ValueError` for a share outside.
    """
    if not 0 <= clouds <= 1:
        raise ValueError(f"expected a share of cloud from 0 to 1, not {clouds}")
    clear, covered = (min(_MOST, 0.5 / share) if share else 1.0 for share in (1 - clouds, clouds))
    return clear, covered
