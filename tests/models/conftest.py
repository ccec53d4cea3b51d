"""Oracles shared by the tests of the physics."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"


@pytest.fixture
def shared():
    if not SHARED.is_dir():
        pytest.skip("the folder of real satellite files is not here")
    return SHARED.resolve()


@pytest.fixture(scope="module")
def eager():
    """Steps run as they are written: to trace one takes longer than a few of them."""
    import tensorflow as tf
    from tensorflow.python.framework import config

    from models.training.device import prepare

    tf.config.run_functions_eagerly(True)
    prepare(1, "f32")
    yield
    tf.config.run_functions_eagerly(False)
    config.disable_op_determinism()
