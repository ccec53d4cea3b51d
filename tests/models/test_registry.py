"""The registry of weights, and the model cards that go with it."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from models.weights import registry as module
from models.weights.registry import checkpoint, read_registry, registry, registry_folder

FOLDER = registry_folder()
PROBAV = ("BLUE", "RED", "NIR", "SWIR")
LANDSAT = ("B2", "B3", "B4", "B5", "B6", "B7")
SENTINEL2 = ("B2", "B3", "B4", "B8", "B11", "B12")


@pytest.mark.parametrize(
    "name, architecture, bands",
    [
        ("cloud_detection_l8", "unet", {"probav": PROBAV}),
        ("full", "generator", {"probav": PROBAV}),
        ("landsatbiomeRGBI6", "unet", {"landsat": LANDSAT[:4], "sentinel2": SENTINEL2[:4]}),
        ("landsatbiomeRGBISWIR7", "unet", {"landsat": LANDSAT, "sentinel2": SENTINEL2}),
    ],
)
def test_entries(name, architecture, bands):
    entry = checkpoint(name)
    assert (entry.name, entry.architecture, entry.bands) == (name, architecture, bands)
    assert entry.file == f"{name}.hdf5"
    assert entry.units == "TOA reflectance, 0-1"
    assert entry.id == f"{name}@{entry.sha256[:8]}"
    assert checkpoint(entry.id) is checkpoint(f"{name}@{entry.sha256}") is entry


def test_addresses_name_commits_and_the_file():
    for entry in registry().values():
        assert len(entry.urls) == 2
        for url in entry.urls:
            assert re.search(r"/[0-9a-f]{7,40}/", url) and url.endswith(f"/{entry.file}")
        assert any(re.search(r"/[0-9a-f]{40}/", url) for url in entry.urls)
        assert all(f"/{entry.source}/" in url for url in entry.urls)


def test_entries_are_those_of_the_published_files(shared):
    for entry in registry().values():
        contents = (shared / "weights" / entry.file).read_bytes()
        assert (entry.size, entry.sha256) == (len(contents), hashlib.sha256(contents).hexdigest())


def test_networks_are_those_of_the_published_files(shared):
    from models.weights.loading import inspect_weights

    for entry in registry().values():
        found = inspect_weights(shared / "weights" / entry.file)
        assert found.architecture == entry.architecture
        assert {found.bands} == {len(bands) for bands in entry.bands.values()}


@pytest.mark.parametrize("name", registry())
def test_each_entry_has_a_card_that_agrees_with_it(name):
    entry = registry()[name]
    card = entry.card.read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines()
            if line.startswith("|")]  # fmt: skip
    facts = {row[0]: row[1] for row in rows if len(row) == 2}
    assert facts["file"] == f"`{entry.file}`, {entry.size:,} bytes"
    assert facts["SHA-256"] == f"`{entry.sha256}`"
    assert facts["licence"] == entry.licence
    assert facts["from"] == f"github.com/{entry.source}"
    assert f"doi:{entry.doi}" in card
    assert entry.units in card
    assert f"FetchCheckpoint --name {name}\n" in card
    reach = {"unet": "23 pixels", "generator": "6 pixels"}[entry.architecture]
    assert reach in " ".join(card.split())
    for number, bands in enumerate(zip(*entry.bands.values(), strict=True), start=1):
        assert any(row[: len(bands) + 1] == [*bands, str(number)] for row in rows), bands
    for heading in ("Inputs", "Output and classes", "Training", "Accuracy", "Limits", "Citation"):
        assert f"\n## {heading}\n" in card


def test_every_card_has_an_entry_and_is_listed():
    cards = {path.name for path in FOLDER.glob("*.md")} - {"README.md"}
    assert cards == {entry.card.name for entry in registry().values()}
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    for entry in registry().values():
        assert f"| `{entry.name}` |" in listed and f"({entry.card.name})" in listed


@pytest.mark.parametrize(
    "name, near",
    [
        ("cloud_detection_L8", "cloud_detection_l8"),
        ("cloud_detecton_l8", "cloud_detection_l8"),
        ("landsatbiomergbi", "landsatbiomeRGBI6"),
        ("ful", "full"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(name, near):
    message = rf"no checkpoint is called '{name}': did you mean {near}\?"
    with pytest.raises(ValueError, match=message):
        checkpoint(name)


def test_a_name_that_is_near_to_none_gets_all():
    for name in ("xyz", "", "@6856a05b"):
        with pytest.raises(ValueError, match="The registry has cloud_detection_l8, full, landsat"):
            checkpoint(name)


@pytest.mark.parametrize("digest", ["6856a05", "6856A05B", "deadbeef", "6856a05b@"])
def test_another_digest_is_an_error(digest):
    with pytest.raises(ValueError, match="of this version is cloud_detection_l8@6856a05b, not"):
        checkpoint(f"cloud_detection_l8@{digest}")


GOOD = f"""
[tiny]
file = "tiny.hdf5"
sha256 = "{"0a" * 32}"
size = 10
urls = ["https://example.org/tiny.hdf5"]
architecture = "unet"
bands = {{ a = ["B1"], b = ["B9"] }}
units = "u"
output = "o"
licence = "MIT"
doi = "10/x"
trained_on = "t"
accuracy = "a"
source = "a/b"
"""


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("[tiny]", '["a@b"]', r"\[a@b\] has no proper name"),
        ("[tiny]", '["a.h5"]', r"\[a.h5\] has no proper name"),
        ('"tiny.hdf5"', '"../tiny.hdf5"', "no proper file"),
        ("0a0a", "0A0A", "no proper sha256"),
        ("0a0a", "0a", "no proper sha256"),
        ("size = 10", "size = 0", "no proper size"),
        ("size = 10", "size = true", "no proper size"),
        ("https://", "http://", "no proper urls"),
        ('"unet"', '"resnet"', "no proper architecture"),
        ('"B9"', '"B8", "B9"', "no proper bands"),
        ('doi = "10/x"', 'doi = ""', "no proper doi"),
        ('doi = "10/x"', "", "to have the keys accuracy, architecture"),
        ("size = 10", "size = 10\nmore = 1", "to have the keys accuracy, architecture"),
        ("size = 10", "size = ", "Invalid value"),
    ],
)
def test_a_registry_with_an_error_is_refused_by_name(tmp_path, old, new, message):
    path = tmp_path / "registry.toml"
    path.write_text(GOOD)
    assert read_registry(path)["tiny"].bands == {"a": ("B1",), "b": ("B9",)}
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as caught:
        read_registry(path)
    assert str(path) in str(caught.value)


def test_the_registry_is_found_in_a_checkout_and_in_a_wheel(tmp_path, monkeypatch):
    package = tmp_path / "models"
    monkeypatch.setattr(module, "__file__", str(package / "weights" / "registry.py"))
    with pytest.raises(FileNotFoundError, match="install skysieve again"):
        registry_folder()
    for folder in (package, tmp_path):
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "checkpoints/registry.toml").touch()
        assert registry_folder() == folder / "checkpoints"


def test_importing_it_imports_nothing_heavy():
    heavy = {"numpy", "h5py", "keras", "tensorflow", "requests", "luigi"}
    code = (
        f"import sys, models.weights.registry as r; r.registry(); print({heavy} & {{*sys.modules}})"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
