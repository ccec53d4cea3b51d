"""The loop with a learner of plain numpy, so that each number can be told beforehand."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training import loop
from models.training.batches import batches
from models.training.loop import Interrupted, Plan, fit
from models.training.state import StateFolder

TRAINING, VALIDATION = np.arange(2, 16), np.array([0, 1, 16, 17, 18])


class Patches:
    """Eighteen little patches and what is to be said of each pixel."""

    def __init__(self):
        draw = np.random.default_rng(5)
        self.image = draw.normal(size=(19, 4, 4, 2)).astype(np.float32)
        self.cloud = (self.image @ np.array([2, -1], np.float32)).astype(np.float32)

    def __len__(self):
        return len(self.image)

    def read(self, indices):
        return {"image": self.image[indices], "cloud": self.cloud[indices]}


@dataclass
class Variable:
    value: np.ndarray

    def numpy(self):
        return self.value

    def assign(self, value):
        self.value = np.asarray(value, self.value.dtype)

    @property
    def shape(self):
        return self.value.shape


@dataclass
class Network:
    weights: Variable

    def get_weights(self):
        return [self.weights.numpy().copy()]

    def set_weights(self, weights):
        self.weights.assign(weights[0])


@dataclass
class Linear:
    """Regression by momentum; what it does depends on the order and orientation of all it saw."""

    lr: float = 0.05
    metrics: list[float] | None = None
    broken_at: int = -1
    steps: int = 0
    seen: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self):
        self.weights = Variable(np.zeros(2, np.float32))
        self.corner = Variable(np.zeros(2, np.float32))
        self.momentum = Variable(np.zeros(2, np.float32))
        self.count = Variable(np.array(0, np.int64))
        self.variables = [self.weights, self.corner, self.momentum, self.count]
        self.networks = {"linear": Network(self.weights)}

    def step(self, batch):
        self.steps += 1
        image, wrong = batch["image"], batch["image"] @ self.weights.value - batch["cloud"]
        slope = np.einsum("nhw,nhwc->c", wrong, image) / wrong.size
        self.momentum.assign(0.9 * self.momentum.value + slope)
        self.weights.assign(self.weights.value - self.lr * self.momentum.value)
        # Told apart only by a patch's orientation.
        self.corner.assign(0.5 * self.corner.value + image[:, 0, 0].mean(axis=0))
        self.count.assign(self.count.value + 1)
        loss = np.nan if self.count.value == self.broken_at else float((wrong**2).mean())
        return {"loss": loss, "corner": float(self.corner.value[0])}

    def evaluate(self, batches):
        found = list(batches)
        self.seen = [batch["image"] for batch in found]
        epoch = int(self.count.value) // 3
        if self.metrics:
            return {"score": self.metrics[epoch - 1] if epoch else 0.0}
        wrong = [(b["image"] @ self.weights.value - b["cloud"]) ** 2 for b in found]
        return {"error": float(np.mean(np.concatenate([each.ravel() for each in wrong])))}

    def pictures(self, batch):
        return {"image": np.repeat(batch["image"][..., :1], 3, axis=-1)}


def go(learner, folder, *, stop=lambda: False, progress=lambda *_: None, plan=None, **options):
    plan = plan or Plan(**{"epochs": 4, "batch_size": 4, "seed": 7} | options.pop("plans", {}))
    validation = options.pop("validation", VALIDATION)
    state = StateFolder(folder, options.pop("identity", "a"))
    return fit(
        learner, Patches(), TRAINING, validation, plan, state,
        progress=progress, stop=stop, **options,
    )  # fmt: skip


def after(steps):
    """Return a `stop` that is true once it was asked so often."""
    asked = iter(range(steps - 1))
    return lambda: next(asked, None) is None


def arrays(learner):
    return [variable.value.tobytes() for variable in learner.variables]


def csv(history, folder):
    history.to_csv(folder / "history.csv")
    return (folder / "history.csv").read_bytes()


def test_an_epoch_is_its_steps_then_the_validation(tmp_path):
    learner = Linear()
    told = []
    history = go(learner, tmp_path, progress=lambda *each: told.append(each))
    # 14 samples are three batches of 4; the last row holds the twelfth update.
    assert learner.steps == 12 and learner.count.value == 12
    frame = history.frame()
    assert list(frame.columns) == ["epoch", "step", "loss", "corner", "val_error"]
    assert list(frame["epoch"]) == [1, 2, 3, 4] and list(frame["step"]) == [3, 6, 9, 12]
    assert np.concatenate(learner.seen).tobytes() == Patches().image[VALIDATION].tobytes()
    assert frame["loss"].iloc[0] > frame["loss"].iloc[-1]
    assert history.best == 4
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert told[1][0] == pytest.approx(2 / 12)
    assert told[1][1].startswith("epoch 1/4, step 2/3, loss ")


def test_each_epoch_has_its_own_order(tmp_path):
    learner, seen = Linear(), []
    kept = learner.step
    learner.step = lambda batch: seen.append(batch["image"].tobytes()) or kept(batch)
    go(learner, tmp_path, plans={"seed": 9, "augment": False})
    for number, found in enumerate(seen):
        epoch, place = divmod(number, 3)
        options = {"batch_size": 4, "seed": 9, "epoch": epoch, "augment": False}
        expected = list(batches(Patches(), TRAINING, **options))[place]
        assert found == expected["image"].tobytes()
    assert len(set(seen)) == 12


def test_losses_are_means_over_the_steps_of_an_epoch(tmp_path):
    learner, losses = Linear(), []
    kept = learner.step
    learner.step = lambda batch: losses.append(kept(batch)) or losses[-1]
    rows = go(learner, tmp_path).rows
    assert rows[1]["loss"] == pytest.approx(np.mean([each["loss"] for each in losses[3:6]]))


def test_equal_runs_give_equal_bytes_and_seeds_matter(tmp_path):
    runs = []
    for number, seed in enumerate([1, 1, 2]):
        learner = Linear()
        history = go(learner, tmp_path / str(number), plans={"seed": seed})
        runs.append((arrays(learner), csv(history, tmp_path)))
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


@settings(max_examples=25, deadline=None)
@given(
    stops=st.lists(st.integers(1, 9), max_size=4),
    seconds=st.sampled_from([0.0, 600.0]),
    monitor=st.sampled_from(["", "error"]),
)
def test_a_run_stopped_anywhere_ends_as_an_unbroken_one(tmp_path_factory, stops, seconds, monitor):
    folder = tmp_path_factory.mktemp("run")
    plans = {"monitor": monitor, "patience": 3 if monitor else 0}
    whole = Linear()
    expected = go(whole, folder / "whole", plans=plans)
    made = 0
    for steps in stops:
        learner = Linear()
        try:
            go(learner, folder / "parts", stop=after(steps), plans=plans, save_seconds=seconds)
        except Interrupted as error:
            made += learner.steps
            assert error.step == made
    last = Linear()
    history = go(last, folder / "parts", plans=plans)
    assert last.steps == 12 - made or len(history.rows) == 4
    assert arrays(last) == arrays(whole)
    assert csv(history, folder) == csv(expected, folder)
    assert history.best == expected.best


def test_a_stop_in_the_validation_repeats_it_alone(tmp_path):
    learner = Linear()
    with pytest.raises(Interrupted, match=r"step 3 \(epoch 1 of 4\).*same command"):
        go(learner, tmp_path, stop=after(4))
    again = Linear()
    with pytest.raises(Interrupted, match="step 4"):
        # The two batches of the validation ask too.
        go(again, tmp_path, stop=after(3))
    assert again.steps == 1
    whole = Linear()
    go(whole, tmp_path / "whole")
    last = Linear()
    go(last, tmp_path)
    assert arrays(last) == arrays(whole)


def test_a_killed_run_goes_on_from_its_last_state(tmp_path):
    class Killed(Exception):
        pass

    def kill_in(step):
        def killed(fraction, message):
            if fraction > (step - 0.5) / 12:
                raise Killed

        return killed

    with pytest.raises(Killed):
        go(Linear(), tmp_path, progress=kill_in(8))
    learner = Linear()
    go(learner, tmp_path)
    assert learner.steps == 6, "two epochs were kept"
    whole = Linear()
    go(whole, tmp_path / "whole")
    assert arrays(learner) == arrays(whole)
    with pytest.raises(Killed):
        go(Linear(), tmp_path / "often", progress=kill_in(8), save_seconds=0)
    often = Linear()
    go(often, tmp_path / "often", save_seconds=0)
    assert often.steps == 5 and arrays(often) == arrays(whole)


def test_more_epochs_go_on(tmp_path):
    go(Linear(), tmp_path, plans={"epochs": 2})
    learner, whole = Linear(), Linear()
    history = go(learner, tmp_path)
    assert learner.steps == 6
    assert csv(history, tmp_path) == csv(go(whole, tmp_path / "whole"), tmp_path)
    assert arrays(learner) == arrays(whole)


def test_a_finished_run_is_not_made_again(tmp_path):
    first, again = Linear(), Linear()
    expected = go(first, tmp_path, plans={"monitor": "error"})
    history = go(again, tmp_path, plans={"monitor": "error"})
    assert again.steps == 0 and arrays(again) == arrays(first) and history == expected


def test_fewer_epochs_are_refused(tmp_path):
    go(Linear(), tmp_path)
    with pytest.raises(ValueError, match="in epoch 4, and 3.*--epochs 4 or more, or remove"):
        go(Linear(), tmp_path, plans={"epochs": 3})


def test_other_options_begin_anew(tmp_path, caplog):
    go(Linear(), tmp_path)
    learner = Linear()
    with caplog.at_level(logging.INFO):
        go(learner, tmp_path, identity="b")
    assert learner.steps == 12
    assert "options or data changed: begins anew" in caplog.text


def test_a_state_of_other_settings_is_refused(tmp_path):
    go(Linear(), tmp_path)
    with pytest.raises(ValueError, match="other batch size, steps per epoch: remove"):
        go(Linear(), tmp_path, plans={"batch_size": 5})


@pytest.mark.parametrize(("maximise", "best"), [(False, 2), (True, 4)])
def test_the_best_epoch_gives_the_weights(tmp_path, maximise, best):
    scores = [3.0, 1.0, np.nan, 5.0, 1.0, 5.0]
    learner = Linear(metrics=scores)
    plans = {"epochs": 6, "monitor": "score", "maximise": maximise}
    history = go(learner, tmp_path, plans=plans)
    assert history.best == best and len(history.rows) == 6
    shorter = Linear()
    go(shorter, tmp_path / "shorter", plans={"epochs": best})
    assert learner.weights.value.tobytes() == shorter.weights.value.tobytes()
    assert np.isnan(history.frame()["val_score"][2])


def test_going_on_after_the_best_weights_were_put_in(tmp_path):
    """The state is that of the last epoch, whatever the networks were left with."""
    scores = [1.0, 2.0, 3.0, 0.5]
    plans = {"monitor": "score"}
    go(Linear(metrics=scores), tmp_path, plans={**plans, "epochs": 3})
    longer, whole = Linear(metrics=scores), Linear(metrics=scores)
    go(longer, tmp_path, plans=plans)
    go(whole, tmp_path / "whole", plans=plans)
    assert longer.steps == 3 and arrays(longer) == arrays(whole)


def test_it_ends_when_nothing_gets_better(tmp_path):
    learner = Linear(metrics=[3.0, 2.0, 2.0, np.nan, 1.0, 1.0])
    plans = {"epochs": 6, "monitor": "score", "patience": 2}
    history = go(learner, tmp_path, plans=plans)
    assert len(history.rows) == 4 and history.best == 2
    again = Linear(metrics=learner.metrics)
    longer = go(again, tmp_path, plans={**plans, "epochs": 9})
    assert again.steps == 0 and longer.best == 2 and len(longer.rows) == 4


def test_a_metric_that_is_never_defined(tmp_path, caplog):
    learner = Linear(metrics=[np.nan] * 4)
    assert go(learner, tmp_path, plans={"monitor": "score"}).best == 4
    assert "score was undefined" in caplog.text


def test_what_cannot_be_monitored(tmp_path):
    learner = Linear()
    with pytest.raises(ValueError, match="no metric 'accuracy'.*expected one of error"):
        go(learner, tmp_path, plans={"monitor": "accuracy"})
    with pytest.raises(ValueError, match="without samples for validation"):
        go(learner, tmp_path, plans={"monitor": "error"}, validation=VALIDATION[:0])
    assert learner.steps == 0


def test_without_validation(tmp_path):
    frame = go(Linear(), tmp_path, validation=VALIDATION[:0]).frame()
    assert list(frame.columns) == ["epoch", "step", "loss", "corner"]


@pytest.mark.parametrize("saved", [600.0, 0.0])
def test_a_loss_that_is_not_finite_ends_it(tmp_path, saved):
    with pytest.raises(FloatingPointError, match=r"step 8 \(epoch 3 of 4\): loss \(nan\) .*--lr"):
        go(Linear(broken_at=8), tmp_path, save_seconds=saved)
    arrays_kept, header = StateFolder(tmp_path, "a").load()
    assert header["step"] == (6 if saved else 7)
    assert all(np.isfinite(array).all() for array in arrays_kept.values())


def test_too_little_data(tmp_path):
    with pytest.raises(ValueError, match="14 patches.*batch of 15: give --batch-size 14 or less"):
        go(Linear(), tmp_path, plans={"batch_size": 15})
    with pytest.raises(ValueError, match="3 batches of 4, fewer than the 4 steps"):
        go(Linear(), tmp_path, plans={"steps_per_epoch": 4})
    learner = Linear()
    go(learner, tmp_path, plans={"steps_per_epoch": 2})
    assert learner.steps == 8


@pytest.mark.parametrize("options", [
    {"epochs": 0}, {"batch_size": 0}, {"seed": -1}, {"patience": -1}, {"steps_per_epoch": -1},
    {"patience": 2},
])  # fmt: skip
def test_plans_that_cannot_be_meant(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Plan(**{"epochs": 4, "batch_size": 4, "seed": 7} | options)


def test_the_board_is_told(tmp_path, monkeypatch):
    class Board:
        def __init__(self):
            self.told, self.shown = [], []

        def scalars(self, values, step):
            self.told.append((step, sorted(values)))

        def pictures(self, columns, step):
            self.shown.append((step, columns["image"].shape))

    monkeypatch.setattr(loop, "_BOARD_STEPS", 2)
    board = Board()
    go(Linear(), tmp_path, plans={"epochs": 2}, board=board)
    losses, metrics = ["corner", "loss"], ["val_error"]
    assert board.told == [(2, losses), (3, metrics), (4, losses), (6, losses), (6, metrics)]
    assert board.shown == [(3, (5, 4, 4, 3)), (6, (5, 4, 4, 3))]


class Convolution:
    """A layer with statistics and Adam, as Keras has them."""

    def __init__(self):
        import keras

        keras.utils.set_random_seed(3)
        layers = [keras.layers.Conv2D(1, 3, padding="same"), keras.layers.BatchNormalization()]
        self.model = keras.Sequential([keras.Input((4, 4, 2)), *layers])
        self.optimiser = keras.optimizers.Adam(0.05)
        self.optimiser.build(self.model.trainable_variables)
        self.variables = [*self.model.variables, *self.optimiser.variables]
        self.networks = {"convolution": self.model}

    def step(self, batch):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            found = self.model(batch["image"], training=True)[..., 0]
            loss = tf.reduce_mean((found - batch["cloud"]) ** 2)
        slopes = tape.gradient(loss, self.model.trainable_variables)
        self.optimiser.apply(slopes, self.model.trainable_variables)
        return {"loss": loss}

    def evaluate(self, batches):
        wrong = [self.model(b["image"])[..., 0] - b["cloud"] for b in batches]
        return {"error": np.mean(np.concatenate(wrong) ** 2)}


def test_a_network_of_keras_goes_on_bit_for_bit(tmp_path):
    plans = {"epochs": 2, "monitor": "error"}
    whole = Convolution()
    expected = go(whole, tmp_path / "whole", plans=plans)
    with pytest.raises(Interrupted):
        go(Convolution(), tmp_path / "parts", plans=plans, stop=after(2))
    last = Convolution()
    found = go(last, tmp_path / "parts", plans=plans)
    assert csv(found, tmp_path) == csv(expected, tmp_path)
    for one, other in zip(last.variables, whole.variables, strict=True):
        assert np.array_equal(one.numpy(), other.numpy()), one.path
