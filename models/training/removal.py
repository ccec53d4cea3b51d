"""Training of a network that removes clouds from Sentinel-2 images.

Usage: `learner = Removal(build_dsen2cr(blocks=16, features=256), Options())`, `learner.step(batch)`

Meraner et al. 2020 (DSen2-CR), with the settings of ameraner/dsen2-cr, Code/dsen2cr_main.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.networks.dsen2cr import SPREAD, UNIT
from models.removal.cover import cover
from models.removal.inputs import OPTICAL, VV_LIMITS, network_input
from models.training.batches import Batch
from models.training.device import Precision, caller, compiled
from models.training.losses import absolute_error, cloud_adaptive_error, laplace_likelihood

__all__ = ["Loss", "Options", "Removal"]

Loss = Literal["carl", "l1"]

# Bands of a picture, B4, B3, B2, and the reflectance that is white in it.
_RED_GREEN_BLUE, _WHITE = [3, 2, 1], 0.3
# An error that is added to all where scales are learnt: what one count of 10,000 is.
_LEAST_ERROR = UNIT / 10_000
# Pixels that the validation looks at in one go: those of two published training steps.
_AT_ONCE = 2 * 16 * 128 * 128


@dataclass(frozen=True)
class Options:
    """How a network is trained; the defaults are the published ones.

    `loss` "carl" weighs by what is covered, "l1" is the plain absolute error. Nadam has the
    published rate, moments (0.9, 0.999) and epsilon (1e-8). Its `schedule_decay` of 0.004 does not
    exist in Keras 3, where the momentum grows as with 1: to 0.9 within some hundred steps, not some
    ten thousand. Raises `ValueError` for a rate that is not above 0, and an unknown loss.
    """

    loss: Loss = "carl"
    learning_rate: float = 7e-5
    precision: Precision = "f32"

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if not 0 < self.learning_rate < np.inf:
            raise ValueError(f"expected a rate of learning above 0, not {self.learning_rate}")
        if self.loss not in ("carl", "l1"):
            raise ValueError(f"expected the loss carl or l1, not {self.loss!r}")


class Removal:
    """A network that is trained to remove clouds; see `models.training.plan.Learner`.

    Reads batches of `cloudy` and `clear`, `(n, height, width, 13)` float32 TOA reflectance, and
    `sar`, `(n, height, width, 2)` float32 sigma0 in dB, unless the network reads none. Reflectance
    is clipped to 0-1, as published, targets too. What is covered is told from `cloudy` before that.
    Losses are in units of 0.2 reflectance (counts / 2000), metrics are reflectance.
    """

    def __init__(self, network: keras.Model, options: Options) -> None:
        """Take a network of `build_dsen2cr`, whose weights it begins with."""
        self.networks: Mapping[str, keras.Model] = {network.name: network}
        self._network = network
        self._loss = options.loss
        self._reads_sar = network.input_shape[-1] > OPTICAL
        self._has_spread = network.output_shape[-1] > OPTICAL
        if options.precision == "mixed":
            _mix(network)
        self._call = caller(options.precision)
        self._optimizer = keras.optimizers.Nadam(
            options.learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8
        )
        # What finds the scales only reads what the rest has found.
        layers = [each for each in network.layers if each.trainable_variables]
        self._scaling = [
            variable
            for layer in layers
            if layer.name.startswith(SPREAD)
            for variable in layer.trainable_variables
        ]
        scaling = {id(each) for each in self._scaling}
        self._trained = [each for each in network.trainable_variables if id(each) not in scaling]
        self._optimizer.build([*self._trained, *self._scaling])
        self._update = tf.function(self._step, autograph=False)
        self._predict = compiled(self._call, network)

    @property
    def variables(self) -> Sequence[keras.Variable]:
        """All that training changes."""
        return [*self._network.variables, *self._optimizer.variables]

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Update the network; return the losses before it."""
        read = self._read(batch)
        arrays = (read["input"], read["cloudy"], read["clear"], read["covered"])
        found = self._update(*map(tf.convert_to_tensor, arrays))
        return {name: float(value) for name, value in found.items()}

    def evaluate(self, batches: Iterable[Batch]) -> Mapping[str, float]:
        """Return the loss, and mean absolute errors as reflectance, pooled over all pixels.

        `mae` is against the target; so is `mae_covered`, of covered pixels; `mae_clear` is how far
        clear ones differ from the cloudy image, as published. `mae_before` and
        `mae_covered_before` are those of the cloudy image itself, `covered` is the share of pixels.
        """
        sums: dict[str, float] = dict.fromkeys(
            ("loss", "mae", "mae_clear", "mae_covered", "mae_before", "mae_covered_before"), 0.0
        )
        if self._has_spread:
            sums["spread_loss"] = 0.0
        pixels, covered = 0, 0.0
        for batch in batches:
            for read in _pieces(self._read(batch)):
                for name, value in self._sums(read).items():
                    sums[name] += value
                pixels += read["covered"].size
                covered += float(read["covered"].sum(dtype=np.float64))
        counts = {"mae_clear": pixels - covered}
        counts |= dict.fromkeys(("mae_covered", "mae_covered_before"), covered)
        means = {
            name: total / counts.get(name, pixels) if counts.get(name, pixels) else np.nan
            for name, total in sums.items()
        }
        return {**means, "covered": covered / pixels if pixels else np.nan}

    def found(self, batch: Batch) -> Mapping[str, NDArray[np.float32]]:
        """Return the `prediction`, and with such a head the `log_scale` of its errors.

        Both are `(n, height, width, 13)`, as the network yields them; with them `clear`, clipped,
        and what is `covered`, `(n, height, width)`, 0 or 1.
        """
        read = self._read(batch)
        output = np.concatenate([self._predict(each["input"]) for each in _pieces(read)])
        found = {"prediction": output[..., :OPTICAL], "clear": read["clear"]}
        if self._has_spread:
            found["log_scale"] = output[..., OPTICAL:]
        return {**found, "covered": read["covered"]}

    def pictures(self, batch: Batch) -> Mapping[str, NDArray[np.float32]]:
        """Return the cloudy image, what is covered, the prediction, the target, and VV."""
        read = self._read(batch)
        found = np.concatenate([self._predict(each["input"]) for each in _pieces(read)])
        images = {"cloudy": read["cloudy"], "prediction": found, "target": read["clear"]}
        shown = {
            name: np.clip(image[..., _RED_GREEN_BLUE] / _WHITE, 0, 1).astype(np.float32)
            for name, image in images.items()
        }
        shown["covered"] = _grey(read["covered"])
        if self._reads_sar:
            darkest, _ = VV_LIMITS
            shown["VV"] = _grey(1 - read["input"][..., OPTICAL] / darkest)
        return shown

    def _read(self, batch: Batch) -> dict[str, NDArray[np.float32]]:
        """Return what the network is given, both images clipped, and what is covered (0 or 1)."""
        cloudy = np.asarray(batch["cloudy"])
        sar = np.asarray(batch["sar"]) if self._reads_sar else None
        given = network_input(cloudy, sar)
        covered = np.stack([cover(image) for image in cloudy])
        return {
            "input": given,
            "cloudy": given[..., :OPTICAL],
            "clear": network_input(np.asarray(batch["clear"]), None),
            "covered": covered.astype(np.float32),
        }

    def _step(
        self, given: tf.Tensor, cloudy: tf.Tensor, clear: tf.Tensor, covered: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        with tf.GradientTape(persistent=self._has_spread) as tape:
            output = self._call(self._network, given, training=True)
            losses = self._losses(output, cloudy, clear, covered)
        gradients = tape.gradient(losses["loss"], [each.value for each in self._trained])
        if self._has_spread:
            spread = [each.value for each in self._scaling]
            gradients += tape.gradient(losses["spread_loss"], spread)
        self._optimizer.apply(gradients, [*self._trained, *self._scaling])
        return losses

    def _losses(self, output: Any, cloudy: Any, clear: Any, covered: Any) -> dict[str, Any]:
        found = output[..., :OPTICAL] * UNIT
        target = clear * UNIT
        if self._loss == "carl":
            losses = {"loss": cloud_adaptive_error(cloudy * UNIT, target, covered, found)}
        else:
            losses = {"loss": absolute_error(target, found)}
        if self._has_spread:
            error = keras.ops.stop_gradient(found) - target
            log_scale = output[..., OPTICAL:]
            losses["spread_loss"] = laplace_likelihood(error, log_scale, _LEAST_ERROR)
        return losses

    def _sums(self, read: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
        """Return sums over the pixels of what `evaluate` averages; bands are averaged."""
        output = self._predict(read["input"])
        cloudy, clear, covered = read["cloudy"], read["clear"], read["covered"]
        losses = self._losses(output, cloudy, clear, covered)
        error = _absolute(output[..., :OPTICAL], clear)
        before = _absolute(cloudy, clear)
        changed = _absolute(output[..., :OPTICAL], cloudy)
        return {
            **{name: float(value) * covered.size for name, value in losses.items()},
            "mae": float(error.sum()),
            "mae_clear": float((changed * (1 - covered)).sum()),
            "mae_covered": float((error * covered).sum()),
            "mae_before": float(before.sum()),
            "mae_covered_before": float((before * covered).sum()),
        }


def _absolute(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean absolute difference of the bands, `(n, height, width)` float64."""
    mean: NDArray[np.float64] = np.abs(one - other).mean(axis=-1, dtype=np.float64)
    return mean


def _pieces(
    read: Mapping[str, NDArray[np.float32]],
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Yield some images at a time: whole patches are larger than the crops of a training."""
    count, height, width = read["covered"].shape
    step = max(1, _AT_ONCE // (height * width))
    for start in range(0, count, step):
        yield {name: array[start : start + step] for name, array in read.items()}


def _grey(values: NDArray[np.floating]) -> NDArray[np.float32]:
    grey: NDArray[np.float32] = np.clip(values, 0, 1).astype(np.float32)
    return grey[..., None].repeat(3, -1)


def _mix(network: keras.Model) -> None:
    """Let the residual blocks compute in 16 bits; what they are added to stays in 32."""
    for layer in network.layers:
        inside = isinstance(layer, keras.layers.Conv2D | keras.layers.Activation)
        if inside and layer.name.startswith("block_"):
            layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
