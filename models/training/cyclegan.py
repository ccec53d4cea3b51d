"""Adversarial adaptation of two sensors to each other, without pairs (CycleGAN).

Usage: `CycleGAN(4, detector, Options()).step({"PV": pv, "LU": lu})` returns losses by name

Mateo-Garcia et al. 2020, doi 10.1109/JSTARS.2020.3031741, after Zhu et al. 2017,
https://arxiv.org/abs/1703.10593. What is named `pv2l8` turns Proba-V's look into that of Landsat
converted to Proba-V (LU), `l82pv` the other way round. The arithmetic of the losses is that of the
published code (IPL-UV/pvl8dagans, dagans/cycle_gan.py): "identity" is how far a generator moves its
own input, and the networks are judged in the same step as they are updated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.metrics.distribution import wasserstein
from models.networks.blocks import Normalisation
from models.networks.discriminator import build_discriminator
from models.networks.generator import build_generator
from models.training.batches import Batch
from models.training.device import Precision, caller, compiled, mix
from models.training.losses import (
    absolute_error,
    bernoulli_divergence,
    judged_false,
    judged_true,
)

__all__ = ["PENALTY_WEIGHTS", "CycleGAN", "Options", "PenaltyMode", "Start", "gradient_penalty"]

PenaltyMode = Literal["meschederreal", "persample", "none"]
Start = Literal["random", "identity"]
# Default weights. Of the published mode the one published; it is 10 / B^2 of a penalty per sample
# in batches of B. Ten per sample would keep the discriminators from telling anything.
PENALTY_WEIGHTS: Mapping[PenaltyMode, float] = {
    "meschederreal": 10.0,
    "persample": 0.1,
    "none": 0.0,
}
# Adam's first momentum (IPL-UV/pvl8dagans, dagans/cycle_gan.py).
_BETA = 0.5
# Pixels of each image that the distance of distributions is estimated from.
_PIXELS = 512


@dataclass(frozen=True)
class Options:
    """Sizes, weights of the losses and rate of learning; the defaults are the published ones.

    `penalty_weight` None is the default of the mode. With `start` "identity" the generators change
    nothing at first, rather than scramble everything (published). Raises `ValueError` for an
    unknown penalty, negative weights, and a rate that is not above 0.
    """

    width: int = 64
    discriminator_width: int = 8
    identity: float = 5.0
    cycle: float = 5.0
    segmentation: float = 1.0
    penalty: PenaltyMode = "meschederreal"
    penalty_weight: float | None = None
    normalisation: Normalisation = "batch"
    learning_rate: float = 1e-4
    precision: Precision = "f32"
    start: Start = "random"

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if self.penalty not in PENALTY_WEIGHTS:
            raise ValueError(f"expected one of {', '.join(PENALTY_WEIGHTS)}, not {self.penalty!r}")
        weights = (self.identity, self.cycle, self.segmentation, self.weight)
        if not all(np.isfinite(weights)) or min(weights) < 0:
            raise ValueError(f"expected weights of losses of at least 0, not {weights}")
        if not 0 < self.learning_rate < np.inf:
            raise ValueError(f"expected a rate of learning above 0, not {self.learning_rate}")

    @property
    def weight(self) -> float:
        """The weight of the gradient penalty."""
        given = self.penalty_weight
        return PENALTY_WEIGHTS[self.penalty] if given is None else given


class CycleGAN:
    """Two generators and two discriminators; see `models.training.plan.Learner`.

    Reads batches of `PV` and `LU`, `(n, height, width, 4)` float32 TOA reflectance 0-1.
    """

    def __init__(self, bands: int, detector: keras.Model | None, options: Options) -> None:
        """Build the networks; `detector` yields the probability of cloud and is not trained.

        It may be None where the weight of `segmentation` is 0. Initial weights follow from Keras's
        seed (`keras.utils.set_random_seed`). Raises `ValueError` for a detector that is missing or
        of other bands.
        """
        if options.segmentation and (detector is None or detector.input_shape[-1] != bands):
            reads = "none" if detector is None else f"one of {detector.input_shape[-1]} bands"
            raise ValueError(f"expected a detector of clouds in {bands} bands, not {reads}")
        self.options = options
        self._detector = detector
        generators = {
            name: build_generator(bands, width=options.width, normalisation=options.normalisation)
            for name in ("genpv2l8", "genl82pv")
        }
        if options.start == "identity":
            for generator in generators.values():
                _change_nothing(generator)
        judges = {
            name: build_discriminator(bands, width=options.discriminator_width)
            for name in ("discl8", "discpv")
        }
        self.networks: Mapping[str, keras.Model] = {**generators, **judges}
        for network in self.networks.values():
            mix(network, options.precision)
        self._call = caller(options.precision)
        self._optimizers = {
            tuple(group): keras.optimizers.Adam(options.learning_rate, beta_1=_BETA)
            for group in (generators, judges)
        }
        for group, optimizer in self._optimizers.items():
            optimizer.build(self._trained(group))
        self._update = tf.function(self._step, autograph=False)
        self._predict = {name: compiled(self._call, model) for name, model in generators.items()}

    @property
    def variables(self) -> Sequence[keras.Variable]:
        """All that training changes."""
        return [
            *(each for network in self.networks.values() for each in network.variables),
            *(each for optimizer in self._optimizers.values() for each in optimizer.variables),
        ]

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Update all four networks; return the losses before it."""
        pv, lu = (tf.convert_to_tensor(batch[name]) for name in ("PV", "LU"))
        return {name: float(loss) for name, loss in self._update(pv, lu).items()}

    def evaluate(self, batches: Iterable[Batch]) -> Mapping[str, float]:
        """Return how well generators keep and match; the fewer the better.

        `identity_*` and `cycle_*` are mean absolute errors as in training. `distance` is the
        Wasserstein-1 distance of adapted Proba-V from LU in reflectance, the mean over bands, and
        `distance_before` that of Proba-V as it is.
        """
        sums: dict[str, float] = {}
        pixels: dict[str, list[NDArray[np.float32]]] = {"PV": [], "adapted": [], "LU": []}
        draw = np.random.default_rng(0)
        count = 0
        for batch in batches:
            made = self._adapt(batch)
            for name, loss in self._kept(made).items():
                sums[name] = sums.get(name, 0.0) + loss * len(batch["PV"])
            count += len(batch["PV"])
            for name, kept in pixels.items():
                flat = made[name].reshape(len(made[name]), -1, made[name].shape[-1])
                picked = draw.choice(flat.shape[1], min(_PIXELS, flat.shape[1]), replace=False)
                kept.append(flat[:, picked].reshape(-1, flat.shape[-1]))
        pooled = {name: np.concatenate(kept) for name, kept in pixels.items()}
        return {
            "distance": float(wasserstein(pooled["adapted"], pooled["LU"]).mean()),
            "distance_before": float(wasserstein(pooled["PV"], pooled["LU"]).mean()),
            **{name: total / count for name, total in sums.items()},
        }

    def pictures(self, batch: Batch) -> Mapping[str, NDArray[np.float32]]:
        """Return each image, what it is turned into, and what comes back, in colours."""
        made = self._adapt(batch)
        names = {
            "PV": "PV", "as L8": "adapted", "and back": "PV cycled",
            "L8": "LU", "as PV": "LU adapted", "and back again": "LU cycled",
        }  # fmt: skip
        return {title: _colours(made[name]) for title, name in names.items()}

    def _step(self, pv: tf.Tensor, lu: tf.Tensor) -> dict[str, tf.Tensor]:
        options, networks, call = self.options, self.networks, self._call
        with tf.GradientTape(persistent=True) as tape:
            as_l8 = call(networks["genpv2l8"], pv, training=True)
            as_pv = call(networks["genl82pv"], lu, training=True)
            lu_again = call(networks["genpv2l8"], as_pv, training=True)
            pv_again = call(networks["genl82pv"], as_l8, training=True)
            real_l8, false_l8 = tf.split(
                call(networks["discl8"], tf.concat([lu, as_l8], 0), training=True), 2
            )
            real_pv, false_pv = tf.split(
                call(networks["discpv"], tf.concat([pv, as_pv], 0), training=True), 2
            )
            # The weighted losses of the generators, their own ones and those of the cycle.
            weighted = {
                "adversarial_pv2l8": (1.0, judged_true(false_l8)),
                "adversarial_l82pv": (1.0, judged_true(false_pv)),
                "identity_pv2l8": (options.identity, absolute_error(pv, as_l8)),
                "identity_l82pv": (options.identity, absolute_error(lu, as_pv)),
                "cycle_pv": (options.cycle, absolute_error(pv, pv_again)),
                "cycle_l8": (options.cycle, absolute_error(lu, lu_again)),
            }
            if options.segmentation:
                for way, before, after in (("pv2l8", pv, as_l8), ("l82pv", lu, as_pv)):
                    weighted[f"segmentation_{way}"] = (
                        options.segmentation,
                        bernoulli_divergence(self._clouds(before), self._clouds(after)),
                    )
            # A generator's own losses do not depend on the other, those of the cycle count for
            # both: so the gradient of their sum is for each generator that of its total.
            generators = tf.add_n([weight * loss for weight, loss in weighted.values()])
            judged = {
                "discriminator_l8": 0.5 * (judged_true(real_l8) + judged_false(false_l8)),
                "discriminator_pv": 0.5 * (judged_true(real_pv) + judged_false(false_pv)),
            }
            penalties = {
                "penalty_l8": gradient_penalty(options.penalty, networks["discl8"], lu),
                "penalty_pv": gradient_penalty(options.penalty, networks["discpv"], pv),
            }
            judges = tf.add_n([*judged.values()]) + options.weight * tf.add_n([*penalties.values()])
        for loss, (group, optimizer) in zip(
            (generators, judges), self._optimizers.items(), strict=True
        ):
            trained = self._trained(group)
            # A bias before a normalisation has no gradient: it changes nothing.
            found = tape.gradient(
                loss,
                [each.value for each in trained],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            optimizer.apply(found, trained)
        del tape
        totals = {
            f"generator_{way}": tf.add_n(
                [w * x for name, (w, x) in weighted.items() if name.endswith(endings)]
            )
            for way, endings in (
                ("pv2l8", ("_pv2l8", "_pv", "_l8")),
                ("l82pv", ("_l82pv", "_pv", "_l8")),
            )
        }
        return {
            **totals,
            **judged,
            **{name: loss for name, (_, loss) in weighted.items()},
            **penalties,
        }

    def _clouds(self, images: tf.Tensor) -> tf.Tensor:
        return self._call(self._detector, images, training=False)

    def _adapt(self, batch: Batch) -> dict[str, NDArray[np.float32]]:
        """Return images, their adaptations and what comes back, as inference makes them."""
        to_l8, to_pv = self._predict["genpv2l8"], self._predict["genl82pv"]
        pv, lu = batch["PV"], batch["LU"]
        as_l8, as_pv = to_l8(pv), to_pv(lu)
        return {
            "PV": pv, "adapted": as_l8, "PV cycled": to_pv(as_l8),
            "LU": lu, "LU adapted": as_pv, "LU cycled": to_l8(as_pv),
        }  # fmt: skip

    def _kept(self, made: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
        compared = {
            "identity_pv2l8": ("PV", "adapted"),
            "identity_l82pv": ("LU", "LU adapted"),
            "cycle_pv": ("PV", "PV cycled"),
            "cycle_l8": ("LU", "LU cycled"),
        }
        return {
            name: float(np.abs(made[a] - made[b]).mean(dtype=np.float64))
            for name, (a, b) in compared.items()
        }

    def _trained(self, group: Iterable[str]) -> list[keras.Variable]:
        return [each for name in group for each in self.networks[name].trainable_variables]


def _change_nothing(generator: keras.Model) -> None:
    """Let the last convolution of `generator`, which reads the image too, pass that on alone."""
    last = generator.get_layer("out_generator")
    kernel, bias = last.get_weights()
    bands = kernel.shape[-1]
    # What it reads: second block, image, first block.
    block = (kernel.shape[2] - bands) // 2
    kernel[:] = 0
    kernel[0, 0, block : block + bands] = np.eye(bands)
    last.set_weights([kernel, np.zeros_like(bias)])


def gradient_penalty(mode: PenaltyMode, judge: keras.Model, images: tf.Tensor) -> tf.Tensor:
    """Return the mean squared norm of the gradient of `judge` by real `images`, a scalar.

    R1 of Mescheder et al. 2018, https://arxiv.org/abs/1801.04406. "persample": of each image's mean
    logit, so that it does not depend on the batch; a linear judge `w.x` yields `|w|^2`.
    "meschederreal": as published, of the logits' mean over the whole batch of B, which is `1 / B^2`
    of that. "none" is 0. Normalisations are frozen in it.
    """
    if mode == "none":
        return tf.constant(0.0)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = tf.cast(judge(images, training=False), tf.float32)
        each = tf.reduce_mean(logits, axis=list(range(1, len(logits.shape))))
        chosen = tf.reduce_mean(each) if mode == "meschederreal" else tf.reduce_sum(each)
    gradient = tape.gradient(chosen, images)
    return tf.reduce_mean(tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3]))


def _colours(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return BLUE, RED, NIR, SWIR as red, green and blue: vegetation green, as published."""
    blue, red, nir = images[..., 0], images[..., 1], images[..., 2]
    shown = np.stack([red, 0.25 * red + 0.75 * nir, blue], axis=-1)
    return np.asarray(np.clip(shown, 0, 1), np.float32)
