"""The registry of weights, and the model cards that go with it."""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.weights import registry as module
from models.weights.registry import (
    checkpoint,
    is_known,
    read_registry,
    registered,
    registry,
    registry_folder,
)

FOLDER = registry_folder()
FETCHED = {name: entry for name, entry in registry().items() if entry.urls}
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
    for entry in FETCHED.values():
        assert len(entry.urls) == 2
        for url in entry.urls:
            assert re.search(r"/[0-9a-f]{7,40}/", url) and url.endswith(f"/{entry.file}")
        assert any(re.search(r"/[0-9a-f]{40}/", url) for url in entry.urls)
        assert all(f"/{entry.source}/" in url for url in entry.urls)


def test_files_that_have_no_address_are_shipped():
    for entry in registry().values():
        assert (entry.shipped is None) is bool(entry.urls)
        if entry.shipped:
            contents = entry.shipped.read_bytes()
            assert entry.size == len(contents)
            assert entry.sha256 == hashlib.sha256(contents).hexdigest()


def test_descriptions_that_are_shipped_can_be_run():
    from models.inference.graph import load

    for entry in registry().values():
        if entry.graph:
            path = entry.folder / entry.graph
            graph = load(path, weights=entry.sha256, sha256=entry.graph_sha256)
            assert {graph.bands} == {len(bands) for bands in entry.bands.values()}


def test_entries_are_those_of_the_published_files(shared):
    for entry in FETCHED.values():
        contents = (shared / "weights" / entry.file).read_bytes()
        assert (entry.size, entry.sha256) == (len(contents), hashlib.sha256(contents).hexdigest())


def test_networks_are_those_of_the_published_files(shared):
    from models.weights.loading import inspect_weights

    for entry in registry().values():
        found = inspect_weights(entry.shipped or shared / "weights" / entry.file)
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
    if entry.urls:
        assert facts["from"] == f"github.com/{entry.source}"
    assert entry.source in facts["from"]
    assert f"doi:{entry.doi}" in card
    assert entry.units in card
    assert f"FetchCheckpoint --name {name}\n" in card
    reach = {"unet": "23 pixels", "generator": "6 pixels", "logistic": "its own pixel alone"}[
        entry.architecture
    ]
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
        ('["https://example.org/tiny.hdf5"]', '""', "no proper urls"),
        ('["https://example.org/tiny.hdf5"]', "[]", "of tiny.hdf5, which is not beside the table"),
        ("size = 10", 'size = 10\ngraph = "a.npz"', "perhaps both of graph, graph_sha256"),
        ("size = 10", f'size = 10\ngraph = "../a"\ngraph_sha256 = "{"0" * 64}"', "proper graph$"),
        ("size = 10", 'size = 10\ngraph = "a"\ngraph_sha256 = "0"', "no proper graph_sha256"),
        (
            "size = 10",
            f'size = 10\ngraph = "a.npz"\ngraph_sha256 = "{"0" * 64}"',
            "of a.npz, which is not beside",
        ),
        ('source = "a/b"', 'source = "a/b"\nspread = { multiplier = 1.0 }', "no proper spread"),
        (
            'source = "a/b"',
            'source = "a/b"\nspread = { multiplier = 0.0, coverage = 0.9, correlation = 0.5 }',
            "no proper spread",
        ),
        (
            'source = "a/b"',
            'source = "a/b"\nspread = { multiplier = nan, coverage = 0.9, correlation = 0.5 }',
            "no proper spread",
        ),
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


def test_a_file_beside_the_table_needs_no_address(tmp_path):
    path = tmp_path / "registry.toml"
    graph = f'graph = "tiny.npz"\ngraph_sha256 = "{"0" * 64}"\nsize'
    path.write_text(re.sub("urls.*", "urls = []", GOOD).replace("size", graph))
    for name in ("tiny.hdf5", "tiny.npz"):
        (tmp_path / name).touch()
    entry = read_registry(path)["tiny"]
    assert (entry.urls, entry.shipped) == ((), tmp_path / "tiny.hdf5")
    assert (entry.graph, entry.graph_sha256) == ("tiny.npz", "0" * 64)
    assert entry.card == tmp_path / "tiny.md"


# Weights of users.


@pytest.fixture
def users(tmp_path):
    """A function that registers weights under a name, with a digest of this digit."""

    def register(name, digit="0"):
        folder = tmp_path / name
        # As a product is published: what was there goes, then another folder comes.
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        table = re.sub("urls.*", "urls = []", GOOD).replace("[tiny]", f"[{name}]")
        (folder / "registry.toml").write_text(table.replace("0a" * 32, digit * 64))
        (folder / "tiny.hdf5").touch()
        return tmp_path

    return register


def test_names_of_users_are_known_beside_those_of_the_table(users):
    folder = users("mine")
    users("yours", "1")
    assert checkpoint("mine", folder).id == "mine@00000000"
    assert checkpoint("yours@11111111", folder).shipped == folder / "yours/tiny.hdf5"
    assert checkpoint("full", folder) is checkpoint("full")
    assert registered(folder) == ("mine", "yours")
    assert is_known("mine", folder) and is_known("full", folder) and is_known("full")
    assert not is_known("mine") and not is_known("nobody", folder)
    assert not is_known("../mine", folder / "yours") and not is_known("", folder)
    with pytest.raises(ValueError, match=r"'mime': did you mean mine\? .*SWIR7, .*mine, yours; a"):
        checkpoint("mime", folder)
    with pytest.raises(ValueError, match="no checkpoint is called 'mine'"):
        checkpoint("mine")
    with pytest.raises(
        ValueError, match="mine registered here is mine@00000000, not mine@1.*or reg"
    ):
        checkpoint("mine@11111111", folder)


def test_without_users_there_are_none(tmp_path):
    assert registered(None) == registered(tmp_path / "none") == ()
    assert checkpoint("full", tmp_path / "none").name == "full"


def test_a_later_registration_is_seen_at_once(users):
    for digit in "0123":
        folder = users("mine", digit)
        assert checkpoint("mine", folder).sha256 == digit * 64
    assert checkpoint("mine", folder) is checkpoint("mine", folder)


def test_the_table_goes_before_users(users):
    folder = users("full")
    assert checkpoint("full", folder) == registry()["full"]


def test_nothing_but_tables_is_a_registration(users, tmp_path):
    folder = users("mine")
    (tmp_path / "mine.json").touch()
    (tmp_path / "empty").mkdir()
    shutil.copytree(tmp_path / "mine", tmp_path / ".mine.new")
    assert registered(folder) == ("mine",)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: (f / "registry.toml").write_text("["), "broken/registry.toml: .*register them"),
        (lambda f: (f / "registry.toml").write_text(""), r"expected one entry, \[broken\]"),
        (lambda f: (f / "registry.toml").write_bytes(b"\xff"), "registry.toml: .*utf-8"),
        (lambda f: (f / "tiny.hdf5").unlink(), "tiny.hdf5, which is not beside the table"),
        (
            lambda f: (f / "registry.toml").write_text(GOOD.replace("[tiny]", "[broken]")),
            "to have no urls",
        ),
    ],
)
def test_a_broken_registration_is_named_and_hinders_nobody_else(change, message, users, tmp_path):
    users("broken")
    folder = users("mine", "1")
    change(tmp_path / "broken")
    with pytest.raises(ValueError, match=message) as caught:
        checkpoint("broken", folder)
    assert str(caught.value).startswith("the registered weights broken are damaged (")
    assert checkpoint("mine", folder).digest == "11111111"
    assert registered(folder) == ("broken", "mine") and is_known("broken", folder)
    with pytest.raises(ValueError, match="did you mean broken"):
        checkpoint("brokken", folder)


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
