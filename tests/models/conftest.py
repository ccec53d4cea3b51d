"""Oracles shared by the tests of the physics."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"


@pytest.fixture
def shared():
    if not SHARED.is_dir():
        pytest.skip("the folder of real satellite files is not here")
    return SHARED.resolve()
