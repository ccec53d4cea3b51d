"""Every command of the README and of the pages in docs/ is run, so that names cannot drift."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Placeholders of the pages, and what stands for them here.
WORDS = {"LC08_SCENE": "scene", "OUT": "out"}


def blocks():
    for page in PAGES:
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = line.split("  #")[0].strip()
                if command and not command.startswith("#"):
                    yield pytest.param(command, id=f"{page.name}: {command[:60]}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a small simulated scene, where the commands of the pages are run in order."""
    place = tmp_path_factory.mktemp("readme")
    subprocess.run(
        [BIN / "luigi", "--module", "pipelines", "SimulateScenes", "--outfolder", "made",
         "--size", "128", "--collection", "C2", "--labels", "biome"],
        cwd=place, check=True, capture_output=True,
    )  # fmt: skip
    (scene,) = place.glob("made/*/landsat/LC0*")
    (place / "LC08_SCENE").symlink_to(scene)
    return place


@pytest.mark.parametrize("command", blocks())
def test_command(command, folder):
    words = shlex.split(command)
    if words[0] == "make":
        done = subprocess.run(
            ["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
        )
    elif words[0] in ("luigi", "skysieve"):
        done = subprocess.run(
            command, shell=True, cwd=folder, capture_output=True, text=True, check=False,
            env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        )  # fmt: skip
    elif words[0] == "python":
        assert (ROOT / words[1]).is_file()
        return
    else:
        assert words[0] in {"git", "cd", "pip", "."}, f"nothing here runs {words[0]!r}"
        return
    assert done.returncode == 0, done.stdout + done.stderr
