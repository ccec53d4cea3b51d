"""Modules of makers for the long tests."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parent
FOLDERS = (HERE, HERE.parent / "pipelines")


@pytest.fixture(scope="session")
def writers() -> ModuleType:
    """The module `small_writers`: commands that write each kind of product."""
    return _module("small_writers")


@pytest.fixture(scope="session")
def mutants() -> ModuleType:
    """The module `small_mutants`: tiny files of each format, and those who read them."""
    return _module("small_mutants")


@pytest.fixture(scope="session")
def cluster() -> ModuleType:
    """The module `small_cluster`: luigid and workers as deploy/ starts them."""
    return _module("small_cluster")


def _module(name: str) -> ModuleType:
    for folder in map(str, FOLDERS):
        # They stay: processes that are started by `spawn` look there, too.
        if folder not in sys.path:
            sys.path.insert(0, folder)
    return importlib.import_module(name)
