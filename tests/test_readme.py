"""Every command of the README, docs/ and the model cards is run, so that names cannot drift.

The published weights are not at hand everywhere: tiny networks of the same names and bands stand
for them (`tests/pipelines/small_registry.py`).
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
SMALL = ROOT / "tests/pipelines"
# Commands that would take long, need larger scenes or ask services of the world: what they say is
# parsed, not run.
LONG = (
    "PseudoSimultaneousPairs", "Train", "--bands probav", "FetchLandsat", "FetchSentinel2",
    "FetchProbaV", "PredictDSen2CR", "EvaluateCloudRemoval", "TestPLFM",
    "FetchBenchmark", "SearchScenes", "--l8img LC08_L1TP_", "--scenes 120",
)  # fmt: skip
PARSE = """
import sys
import luigi.cmdline_parser
from pipelines.product.task import ProductTask
with luigi.cmdline_parser.CmdlineParser.global_instance(sys.argv[1:]) as parser:
    for task in luigi.task.flatten(parser.get_task_obj()):
        isinstance(task, ProductTask) and task.output()
        task.requires()
"""
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "checkpoints").glob("*.md")),
]


def blocks():
    for page in PAGES:
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = line.split("  #")[0].strip()
                if command and not command.startswith("#"):
                    yield pytest.param(command, id=f"{page.name}: {command[:60]}")


def snippets():
    for page in PAGES:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            yield pytest.param(block, id=f"{page.name}: {block.splitlines()[-1][:60]}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with small scenes, where the commands of the pages are run in order."""
    place = tmp_path_factory.mktemp("readme")
    subprocess.run(
        [BIN / "luigi", "--module", "pipelines", "SimulateScenes", "--outfolder", "simulated",
         "--size", "128", "--collection", "C2", "--labels", "biome"],
        cwd=place, check=True, capture_output=True,
    )  # fmt: skip
    (landsat,) = place.glob("simulated/*/landsat/LC0*")
    (probav,) = place.glob("simulated/*/probav/*.HDF5")
    make = f"""
import sys; sys.path.insert(0, {str(SMALL)!r})
from pathlib import Path
import small_networks, small_registry, small_removal, small_training
folder = Path({str(place)!r})
(folder / "weights").mkdir()
makers = {{
    "four": lambda path: small_networks.write_unet(path, 4),
    "six": lambda path: small_networks.write_unet(path, 6),
    "generator": small_networks.write_generator,
}}
for name, kind in small_registry.FILES.items():
    makers[kind](folder / "weights" / f"{{name}}.hdf5")
small_training.labelled(folder / "patches.hdf5")
removers = small_removal.write_networks(folder / "weights")
small_removal.write_training(
    folder / "checkpoints_trained/dsen2cr_16_256", removers / "spread.weights.h5"
)
small_removal.sentinel1(folder / "S1_ON_TILE.tif")
small_removal.mask(folder / "MASK_10M.tif")
print(small_removal.tile(folder / "simulated")[0])
"""
    done = subprocess.run([sys.executable, "-c", make], check=True, capture_output=True, text=True)
    sentinel2 = Path(done.stdout.split()[-1])
    for name in ("archive", "biome"):
        (place / name).mkdir()
    (place / "biome" / landsat.name).symlink_to(landsat)
    subprocess.run(
        [BIN / "luigi", "--module", "pipelines", "TrainCloudDetection", "--dataset",
         "patches.hdf5", "--name", "mine", "--epochs", "1", "--batch-size", "7", "--width", "4"],
        cwd=place, check=True, capture_output=True,
    )  # fmt: skip
    for name, scene in (
        ("LC08_SCENE", landsat), ("S2_SCENE", sentinel2), ("PROBAV_IMAGE", probav)
    ):  # fmt: skip
        (place / name).symlink_to(scene)
        (place / "archive" / scene.name).symlink_to(scene)
    (place / "searches").mkdir()
    (place / "searches/alps.txt").write_text(f"{place / 'archive' / landsat.name}\n")
    (place / "pairs.csv").write_text("truth,truth_kind,scene\nLC08_SCENE,biome,LC08_SCENE\n")
    return place


@pytest.fixture
def environment(folder):
    return {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(SMALL), os.environ.get("PYTHONPATH")])),
        "SMALL_WEIGHTS": str(folder / "weights"),
        "SKYSIEVE_CHECKPOINT_CACHE": str(folder / "cache"),
        "SKYSIEVE_STATE": str(folder / "state"),
    }


@pytest.mark.parametrize("command", list(blocks()))
def test_command(command, folder, environment):
    words = shlex.split(command)
    if words[0] == "make":
        done = subprocess.run(
            ["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
        )
    elif words[0] == "luigi" and any(each in command for each in LONG):
        done = subprocess.run(
            [sys.executable, "-c", PARSE, "--module", "small_registry", *words[3:]],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    elif words[0] in ("luigi", "skysieve"):
        with_small = (
            "python -c 'import small_registry, sys, pipelines.operate as o; sys.exit(o.main())'"
        )
        done = subprocess.run(
            command.replace("--module pipelines", "--module small_registry").replace(
                "skysieve", with_small, int(words[0] == "skysieve")
            ),
            shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    elif words[0] == "python":
        assert (ROOT / words[1]).is_file()
        return
    else:
        assert words[0] in {"git", "cd", "pip", "."}, f"nothing here runs {words[0]!r}"
        return
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("snippet", list(snippets()))
def test_snippet(snippet, folder, environment):
    done = subprocess.run(
        [sys.executable, "-c", "import small_registry\n" + snippet],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
