"""The layout of the repository, as its style asks for it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "pipelines": ROOT / "pipelines",
    "models": ROOT / "models",
    "scenes": ROOT / "io/scenes",
}
SOURCES = [path for folder in PACKAGES.values() for path in sorted(folder.rglob("*.py"))]


def run(code, *options, **environment):
    return subprocess.run(
        [sys.executable, *options, "-c", code], env={**os.environ, **environment},
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip


def imports(path):
    """Return the absolute imports of a file, wherever in it they stand."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module if node.module.startswith("scenes") else node.module.split(".")[0]


def test_io_is_no_package():
    assert not list((ROOT / "io").glob("*.py"))
    done = run("import io; io.StringIO", "-X", "frozen_modules=off", PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr


def test_importing_the_tasks_imports_no_heavy_package():
    heavy = ["tensorflow", "keras", "rasterio", "cv2", "h5py", "pandas", "numpy"]
    done = run(f"import sys, pipelines; print([m for m in {heavy} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_arrows_run_one_way():
    for path in SOURCES:
        used = set(imports(path))
        if path.is_relative_to(PACKAGES["scenes"]):
            assert not used & {"luigi", "models", "pipelines", "tensorflow", "keras"}, path
        elif path.is_relative_to(PACKAGES["models"]):
            assert not used & {"luigi", "pipelines"}, path
            assert {u for u in used if u.startswith("scenes")} <= {
                "scenes.grid",
                "scenes.classes",
            }, path


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_hold_one_noun_and_say_which(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text)), "a file begins with what it is"
    assert path.stem not in {"utils", "helpers", "common", "misc"}
