"""Training on labels, against numbers computed by hand, scikit-learn, and on toys."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.training.augment import with_edges
from models.training.segmentation import Options, Segmentation, class_weights

pytestmark = pytest.mark.usefixtures("eager")


def array(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def pixelwise(options, clouds=0.2):
    """Return a learner with a network that sees one pixel at a time, and its weights."""
    image = keras.Input((None, None, 2))
    network = keras.Model(image, keras.layers.Conv2D(1, 1)(image), name="pixelwise")
    network.set_weights([np.float32([2, -1]).reshape(1, 1, 2, 1), np.float32([0.5])])
    return Segmentation(network, options, clouds)


def small(options, seed=1, clouds=0.4, bands=4):
    """Return a learner with a network that has each kind of weight, first and last layers too."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    image = keras.Input((None, None, bands))
    x = layers.Conv2D(bands, 1, trainable=False, name="normalization")(image)
    x = layers.SeparableConv2D(6, 3, padding="same", name="block")(x)
    x = layers.BatchNormalization(momentum=0.8, name="normal")(x)
    x = layers.Activation("relu", name="bend")(x)
    network = keras.Model(image, layers.Conv2D(1, 1, name="last")(x), name="small")
    shift = np.float32([0.3, -0.2, 0.4, 0.1, 0.2, 0.6])[:bands]
    network.get_layer("normalization").set_weights([2 * np.eye(bands)[None, None], shift])
    return Segmentation(network, options, clouds)


def batch(seed, n=3, size=8, bands=4):
    """Return images with clear, covered, mixed and unlabelled pixels."""
    draw = np.random.default_rng(seed)
    cloud = draw.choice(np.float32([0, 1, 0.3, 0.8, -1]), (n, size, size))
    return {"image": draw.random((n, size, size, bands), dtype=np.float32), "cloud": cloud}


def cross_entropy(logit, truth):
    probability = 1 / (1 + np.exp(-logit))
    return -truth * np.log(probability) - (1 - truth) * np.log(1 - probability)


def test_the_loss_by_hand():
    image = np.float32([[[[1, 0], [0, 1]], [[0.5, 0.5], [9, 9]]]])
    cloud = np.float32([[[1, 0], [0.25, -1]]])
    logits, truth = [2.5, -0.5, 1.0], [1, 0, 0.25]
    # Weights of clear and cloud with a fifth of cloud: 1 / (2 * 4/5) and 1 / (2 / 5).
    weights = [2.5, 0.625, 0.75 * 0.625 + 0.25 * 2.5]
    losses = [cross_entropy(*pair) for pair in zip(logits, truth, strict=True)]
    for balanced, shares in ((True, weights), (False, None)):
        learner = pixelwise(Options(balanced=balanced))
        expected = np.average(losses, weights=shares)
        seen = {"image": image, "cloud": cloud}
        assert learner.evaluate([seen])["loss"] == pytest.approx(expected, rel=1e-5)
        assert learner.step(seen) == {"loss": pytest.approx(expected, rel=1e-5)}


def test_updates_are_those_of_adamw_with_a_rate_that_falls():
    options = Options(learning_rate=0.1, decay=0.5, steps=2, weight_decay=0.3, balanced=False)
    learner = pixelwise(options)
    image, cloud = (batch(1, bands=2)[name] for name in ("image", "cloud"))
    x = np.concatenate([image, np.ones_like(image[..., :1])], -1)[cloud >= 0].astype(np.float64)
    w, m, v = np.array([2, -1, 0.5]), 0.0, 0.0
    for count, rate in enumerate([0.1, 0.1, 0.05, 0.05, 0.025], start=1):
        learner.step({"image": image, "cloud": cloud})
        slope = x.T @ (1 / (1 + np.exp(-x @ w)) - cloud[cloud >= 0]) / len(x)
        m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2
        # Kernels decay, the bias does not.
        w = w - rate * 0.3 * w * [1, 1, 0]
        w -= rate * (m / (1 - 0.9**count)) / (np.sqrt(v / (1 - 0.999**count)) + 1e-7)
    kernel, bias = learner.networks["pixelwise"].get_weights()
    np.testing.assert_allclose([*kernel.ravel(), *bias], w, rtol=2e-4)


def test_ignored_pixels_have_no_influence():
    one, other = pixelwise(Options()), pixelwise(Options())
    seen = batch(2, bands=2)
    ignored = seen["cloud"] < 0
    assert ignored.any()
    changed = np.where(ignored[..., None], np.float32(7), seen["image"])
    for _ in range(2):
        first = one.step(seen)
        assert other.step({"image": changed, "cloud": seen["cloud"]}) == first
    assert one.evaluate([seen]) == other.evaluate([{**seen, "image": changed}])
    for left, right in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(array(left), array(right))


def test_pixels_without_data_are_what_means_nothing_to_the_network():
    given = batch(5)
    given["cloud"][:, 2:5, 1:4] = -1
    with_zeros = given["image"].copy()
    with_zeros[:, 2:5, 1:4] = 0
    neutral = small(Options())._neutral
    assert np.abs(neutral).min() > 1e-3
    with_neutral = given["image"].copy()
    with_neutral[:, 2:5, 1:4] = neutral
    found = [
        small(Options()).evaluate([{"image": image, "cloud": given["cloud"]}])["loss"]
        for image in (with_zeros, with_neutral, given["image"])
    ]
    assert found[0] == found[1] != found[2]


def test_only_kernels_decay_where_nothing_is_labelled():
    learner = small(Options(learning_rate=0.1, weight_decay=0.5))
    network = learner.networks["small"]
    draw = np.random.default_rng(3)
    for each in network.trainable_variables:
        each.assign(draw.normal(1, 0.1, each.shape))
    before = {each.path: array(each) for each in network.weights}
    seen = batch(1)
    assert learner.step({**seen, "cloud": np.full_like(seen["cloud"], -1)}) == {"loss": 0}
    kinds = set()
    for each in network.trainable_variables:
        factor = 0.95 if "kernel" in each.name else 1
        kinds.add(each.name.removeprefix("depthwise_").removeprefix("pointwise_"))
        np.testing.assert_allclose(array(each), factor * before[each.path], rtol=1e-6)
    assert kinds == {"kernel", "bias", "gamma", "beta"}
    fixed = network.get_layer("normalization").weights
    assert all(np.array_equal(array(each), before[each.path]) for each in fixed)
    found = learner.evaluate([{**seen, "cloud": np.full_like(seen["cloud"], -1)}])
    assert all(np.isnan(value) for value in found.values())


def test_scores_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    learner = small(Options(), clouds=0.25)
    batches = [batch(1, n=3), batch(2, n=1)]
    network = learner.networks["small"]
    middle = np.median(array(network(batches[0]["image"], training=False)))
    network.get_layer("last").bias.assign([-middle])
    before = [array(each) for each in learner.variables]
    found = learner.evaluate(iter(batches))
    for one, other in zip(learner.variables, before, strict=True):
        np.testing.assert_array_equal(array(one), other)

    logits = np.concatenate([
        array(network(each["image"], training=False))[..., 0].ravel() for each in batches
    ]).astype(np.float64)  # fmt: skip
    cloud = np.concatenate([each["cloud"].ravel() for each in batches])
    logits, cloud = logits[cloud >= 0], cloud[cloud >= 0].astype(np.float64)
    truth, decision = cloud > 0.5, logits >= 0
    assert truth.any() and decision.any() and not decision.all()
    # A soft label is so much of a cloud, and the rest of clear.
    weights = (1 - cloud) * (0.5 / 0.75) + cloud * (0.5 / 0.25)
    loss = metrics.log_loss(
        np.repeat([1, 0], len(cloud)),
        np.tile(1 / (1 + np.exp(-logits)), 2),
        sample_weight=np.concatenate([weights * cloud, weights * (1 - cloud)]),
    )
    expected = {
        "loss": loss,
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, decision),
        "recall": metrics.recall_score(truth, decision),
        "f1": metrics.f1_score(truth, decision),
    }
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_threshold_is_learnt():
    def bright(seed):
        image = np.random.default_rng(seed).random((8, 8, 8, 4), dtype=np.float32)
        image = 0.5 * image + 0.5 * image.mean(axis=-1, keepdims=True)
        cloud = (image[..., 1] > 0.5).astype(np.float32)
        cloud[:, :2] = -1
        return {"image": image, "cloud": cloud}

    learner = small(Options(learning_rate=0.02), clouds=0.5)
    before = learner.evaluate([bright(1000)])
    tf.config.run_functions_eagerly(False)
    for seed in range(80):
        learner.step(bright(seed))
    tf.config.run_functions_eagerly(True)
    after = learner.evaluate([bright(1000)])
    assert after["loss"] < 0.6 * before["loss"]
    assert after["balanced_accuracy"] > 0.85


def test_variables_hold_all_of_a_training_and_a_seed_repeats_it():
    options = Options(learning_rate=0.01, decay=0.5, steps=1)
    first, other = small(options), small(options)
    for one, fresh in zip(first.variables, other.variables, strict=True):
        np.testing.assert_array_equal(array(one), array(fresh))
    first.step(batch(1))
    for one, fresh in zip(first.variables, other.variables, strict=True):
        fresh.assign(array(one))
    # The rate of the second step is half of the first one's, so that the count matters, too.
    assert other.step(batch(2)) == first.step(batch(2))
    for one, fresh in zip(first.variables, other.variables, strict=True):
        np.testing.assert_array_equal(array(one), array(fresh))
    assert not np.array_equal(array(small(options, seed=2).variables[2]), array(first.variables[2]))


def test_mixed_arithmetic_is_near_that_of_32_bits():
    exact, mixed = small(Options()), small(Options(precision="mixed"))
    found = mixed.step(batch(1))
    expected = exact.step(batch(1))
    assert found == pytest.approx(expected, rel=0.02)
    assert found != pytest.approx(expected, rel=1e-7)
    assert {each.dtype for each in mixed.networks["small"].variables} == {"float32"}
    assert mixed.evaluate([batch(2)]) == pytest.approx(exact.evaluate([batch(2)]), rel=0.1)


@pytest.mark.parametrize("bands, shown", [(4, [2, 1, 0]), (2, [0, 0, 0])])
def test_pictures(bands, shown):
    learner = small(Options(), bands=bands)
    seen = batch(1, bands=bands)
    seen["image"][0] *= 3
    found = learner.pictures(seen)
    assert list(found) == ["image", "label", "probability"]
    for picture in found.values():
        assert picture.shape == (3, 8, 8, 3)
        assert picture.dtype == np.float32
        assert 0 <= picture.min() <= picture.max() <= 1
    np.testing.assert_array_equal(found["image"], np.clip(seen["image"][..., shown], 0, 1))
    ignored = seen["cloud"] < 0
    assert (found["label"][ignored] == np.float32([0, 0, 0.6])).all()
    assert (found["label"][~ignored] == seen["cloud"][~ignored][:, None]).all()
    logits = array(learner.networks["small"](seen["image"], training=False))
    expected = np.broadcast_to(1 / (1 + np.exp(-logits)), (3, 8, 8, 3))
    np.testing.assert_allclose(found["probability"], expected, rtol=1e-5)


def test_class_weights_by_hand():
    assert class_weights(0.5) == (1, 1)
    assert class_weights(0.2) == pytest.approx((0.625, 2.5))
    assert class_weights(0.0) == (0.5, 1)
    assert class_weights(1.0) == (1, 0.5)
    # At most 20, from a share of 2.5 % down.
    assert class_weights(0.01) == pytest.approx((0.5 / 0.99, 20))
    assert class_weights(0.999) == pytest.approx((20, 0.5 / 0.999))
    for share in (0.03, 0.4, 0.9):
        clear, covered = class_weights(share)
        assert (1 - share) * clear == pytest.approx(share * covered)
        assert (1 - share) * clear + share * covered == pytest.approx(1)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_of_cloud_is_from_0_to_1(share):
    with pytest.raises(ValueError, match="share of cloud from 0 to 1"):
        class_weights(share)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"learning_rate": 0.0}, "rate of learning above 0"),
        ({"learning_rate": float("inf")}, "rate of learning above 0"),
        ({"decay": 0.0}, "decay above 0, at most 1"),
        ({"decay": 1.01}, "decay above 0, at most 1"),
        ({"weight_decay": -1e-9}, "weight decay of at least 0"),
        ({"weight_decay": float("nan")}, "weight decay of at least 0"),
    ],
)
def test_what_cannot_be_trained_with_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Options(**options)


def test_steps_learn_nothing_beyond_the_edge():
    """A learner with edges makes the step that one without them makes of the patches cut off."""
    drawn = batch(6, n=8, size=12)
    image, cloud = with_edges(drawn["image"], drawn["cloud"], 1.0, seed=0)
    cut = {"image": image, "cloud": cloud}
    one, other = small(Options(edges=1.0)), small(Options())
    assert one.step(drawn) == other.step(cut)
    for a, b in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(array(a), array(b))
