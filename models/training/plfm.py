"""The training of PLFM's three networks, one after the other.

Usage: `learner = SeriesBranch(build_series_branch(), Options())`, `learner.step(batch)`

Sebastianelli et al. 2022, https://arxiv.org/abs/2106.12226, with the losses and rates of its code
(alessandrosebastianelli/PLFM-Clouds-Removal, models/convLSTM.py, models/cGAN.py and
models/headPLFM.py). All read batches of `series` `(n, 3, height, width, 3)`, `sar` `(n, height,
width, 1)` and `target` `(n, height, width, 3)`, float32, 0-1: three images in the order of time,
SAR of the time of the fourth, and the fourth, which all are to find. All compute in float32.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.training.batches import Batch
from models.training.device import compiled
from models.training.losses import absolute_error, judged_false, judged_true

__all__ = ["Head", "Options", "RadarBranch", "SeriesBranch"]

# What the published images span, -1 to 1, over what those here do: an absolute error that is
# weighted against the judge's verdict counts as it does there.
_SPAN = 2.0
# Adam's first momentum: Keras's own, as published (its pix2pix leaves out Isola's 0.5).
_BETA = 0.9

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Options:
    """How the networks are trained; the defaults are the published ones.

    `absolute` is the weight of the absolute error in the loss of the branch from SAR, beside its
    judge's verdict. Raises `ValueError` for a rate that is not above 0, and a negative weight.
    """

    learning_rate: float = 2e-4
    absolute: float = 80.0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if not 0 < self.learning_rate < np.inf:
            raise ValueError(f"expected a rate of learning above 0, not {self.learning_rate}")
        if not 0 <= self.absolute < np.inf:
            raise ValueError(f"expected a weight of at least 0, not {self.absolute}")

    def optimizer(self, trained: Sequence[keras.Variable]) -> keras.optimizers.Optimizer:
        """Return a built optimiser of these variables."""
        made = keras.optimizers.Adam(self.learning_rate, beta_1=_BETA)
        made.build(trained)
        return made


class _Restoration(ABC):
    """A network that is to find the fourth image; see `models.training.plan.Learner`."""

    # Titles of the pictures of what a network reads, and where they are found in a batch.
    shown: Mapping[str, str]

    def __init__(self, network: keras.Model, options: Options) -> None:
        """Take a network whose initial weights are its own."""
        self.networks: Mapping[str, keras.Model] = {network.name: network}
        self._network = network
        self._optimizer = options.optimizer(network.trainable_variables)
        self._update = tf.function(self._step, autograph=False)
        self._predict = compiled(_call, network)

    @property
    def variables(self) -> Sequence[keras.Variable]:
        """All that training changes."""
        return [*self._network.variables, *self._optimizer.variables]

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Update what is trained; return the losses before it."""
        arrays = (self.given(batch), batch["target"])
        losses = self._update(*map(tf.convert_to_tensor, arrays))
        return {name: float(loss) for name, loss in losses.items()}

    def evaluate(self, batches: Iterable[Batch]) -> Mapping[str, float]:
        """Return errors over all values: mean absolute, root mean squared, and PSNR (dB) of 1."""
        absolute, squared, count = 0.0, 0.0, 0
        for batch in batches:
            error = self.restored(batch).astype(np.float64) - batch["target"]
            absolute += float(np.abs(error).sum())
            squared += float(np.square(error).sum())
            count += error.size
        return _errors(absolute, squared, count)

    def pictures(self, batch: Batch) -> Mapping[str, Images]:
        """Return what the network reads, what it makes of it, and what is to be found."""
        found = {
            **{title: _picture(batch[name]) for title, name in self.shown.items()},
            "restored": self.restored(batch),
            "target": batch["target"],
        }
        return {title: np.clip(image, 0, 1).astype(np.float32) for title, image in found.items()}

    def restored(self, batch: Batch) -> Images:
        """Return the image that the network finds, `(n, height, width, 3)`, 0-1."""
        return self._predict(self.given(batch))

    @abstractmethod
    def given(self, batch: Batch) -> Images:
        """Return what the network reads of a batch."""

    @abstractmethod
    def _step(self, given: tf.Tensor, target: tf.Tensor) -> dict[str, tf.Tensor]:
        """Update once; return the losses before it."""

    def _minimise(self, loss: Any, tape: tf.GradientTape) -> None:
        _minimise(loss, tape, self._network.trainable_variables, self._optimizer)


class SeriesBranch(_Restoration):
    """The branch over time, by Huber's loss (quadratic up to an error of 1)."""

    shown = {"last of the series": "series"}

    def given(self, batch: Batch) -> Images:
        """Return the series."""
        return batch["series"]

    def _step(self, given: tf.Tensor, target: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            found = _call(self._network, given, training=True)
            loss = keras.ops.mean(keras.losses.huber(target, found))
        self._minimise(loss, tape)
        return {"loss": loss, "mae": absolute_error(target, found)}


class RadarBranch(_Restoration):
    """The branch from SAR, by a judge's verdict and the absolute error.

    The judge learns in the same step, of the same images.
    """

    shown = {"SAR": "sar"}

    def __init__(self, network: keras.Model, judge: keras.Model, options: Options) -> None:
        """Take a network and a judge of images with their SAR behind."""
        super().__init__(network, options)
        self.networks = {network.name: network, judge.name: judge}
        self._judge = judge
        self._absolute = options.absolute * _SPAN
        self._judges = options.optimizer(judge.trainable_variables)

    @property
    def variables(self) -> Sequence[keras.Variable]:
        """All that training changes."""
        return [*super().variables, *self._judge.variables, *self._judges.variables]

    def given(self, batch: Batch) -> Images:
        """Return SAR."""
        return batch["sar"]

    def _step(self, given: tf.Tensor, target: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape(persistent=True) as tape:
            found = _call(self._network, given, training=True)
            # One after the other: normalised together, they would tell of each other.
            real, false = (
                _call(self._judge, tf.concat([image, given], -1), training=True)
                for image in (target, found)
            )
            absolute, verdict = absolute_error(target, found), judged_true(false)
            loss = verdict + self._absolute * absolute
            judged = 0.5 * (judged_true(real) + judged_false(false))
        self._minimise(loss, tape)
        _minimise(judged, tape, self._judge.trainable_variables, self._judges)
        del tape
        return {"loss": loss, "mae": absolute, "verdict": verdict, "judge": judged}


class Head(_Restoration):
    """The head that merges both branches' images, by the absolute error; they stay as they are."""

    shown = {"last of the series": "series", "SAR": "sar"}

    def __init__(
        self, network: keras.Model, series: keras.Model, radar: keras.Model, options: Options
    ) -> None:
        """Take a network and both branches, trained."""
        super().__init__(network, options)
        self._branches = {"series": compiled(_call, series), "sar": compiled(_call, radar)}

    def given(self, batch: Batch) -> Images:
        """Return the images of both branches, `(n, height, width, 6)`."""
        return np.concatenate(list(self._branched(batch).values()), axis=-1)

    def evaluate(self, batches: Iterable[Batch]) -> Mapping[str, float]:
        """Return errors as the branches' do, and the mean absolute ones of each branch alone."""
        sums, count = dict.fromkeys(("mae", "mse", *self._branches), 0.0), 0
        for batch in batches:
            made = self._branched(batch)
            merged = self._predict(np.concatenate(list(made.values()), axis=-1))
            target = batch["target"].astype(np.float64)
            for name, image in made.items():
                sums[name] += float(np.abs(image - target).sum())
            sums["mae"] += float(np.abs(merged - target).sum())
            sums["mse"] += float(np.square(merged - target).sum())
            count += target.size
        alone = {f"mae_{n}": sums[n] / count if count else math.nan for n in self._branches}
        return {**_errors(sums["mae"], sums["mse"], count), **alone}

    def pictures(self, batch: Batch) -> Mapping[str, Images]:
        """Return what is read, what both branches make of it, what it comes to, and the target."""
        made = self._branched(batch)
        shown = dict(super().pictures(batch))
        last = {title: shown.pop(title) for title in ("restored", "target")}
        return {**shown, "from the series": made["series"], "from SAR": made["sar"], **last}

    def _branched(self, batch: Batch) -> dict[str, Images]:
        return {name: predict(batch[name]) for name, predict in self._branches.items()}

    def _step(self, given: tf.Tensor, target: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = absolute_error(target, _call(self._network, given, training=True))
        self._minimise(loss, tape)
        return {"loss": loss}


def _call(model: keras.Model, images: Any, *, training: bool) -> Any:
    """Return what `model` makes of `images`; its layers have no fused kernels of ours."""
    return model(images, training=training)


def _minimise(
    loss: Any,
    tape: tf.GradientTape,
    trained: Sequence[keras.Variable],
    optimizer: keras.optimizers.Optimizer,
) -> None:
    found = tape.gradient(loss, [each.value for each in trained])
    optimizer.apply(found, trained)


def _errors(absolute: float, squared: float, count: int) -> dict[str, float]:
    """Return metrics from sums over `count` values; all are NaN without any."""
    if not count:
        return dict.fromkeys(("mae", "rmse", "psnr"), math.nan)
    mse = squared / count
    return {
        "mae": absolute / count,
        "rmse": math.sqrt(mse),
        "psnr": -10 * math.log10(mse) if mse else math.inf,
    }


def _picture(images: Images) -> Images:
    """Return colours: the last image of a series, or a single band as grey."""
    last = images[:, -1] if images.ndim == 5 else images
    return np.broadcast_to(last, (*last.shape[:-1], 3))
