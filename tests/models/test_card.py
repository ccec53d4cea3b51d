"""Cards and tables of weights: what files say of themselves, and what the registry reads back."""

import hashlib
import os
import tomllib
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.networks.discriminator import build_discriminator
from models.networks.generator import build_generator
from models.networks.unet import build_unet
from models.weights.card import DataSet, ModelCard, Share, TrainingRun, render, retitled
from models.weights.card_folder import card_entry, write_cards
from models.weights.loading import WeightsSummary
from models.weights.network_file import NetworkFile, network_file
from models.weights.registry import TABLE, Checkpoint, read_registry
from models.weights.saving import save_weights
from models.weights.table import table_text

OFFSET = (0.43, 0.41, 0.46, 0.24)
SCALE = (2.0, 3.0, 4.0, 5.0)
NETWORK = NetworkFile(
    "genpv2l8.weights.h5", "ab" * 32, 131_072, WeightsSummary("generator", 4, 64, 0, "batch"),
    16_452, (1.0,) * 4, tuple(-x for x in OFFSET),
)  # fmt: skip
RUN = TrainingRun(
    data=[
        DataSet(
            "pairs | simulated", "cd" * 32, "CC0-1.0",
            {"training": Share(12, 3456, 0.4321), "validation": Share(3, 789)},
        )
    ],
    options={"gradient_penalty_mode": "real", "gradient_penalty_weight": 10.0, "augment": True},
    epochs=25, best_epoch=19, steps=1800,
    versions={"keras": "3.15.1", "skysieve": "0.1.0"}, precision="float32", device="cpu",
)  # fmt: skip
CARD = ModelCard(
    title="adaptation of Proba-V", summary="The generator of a CycleGAN.",
    bands={"probav": ("BLUE", "RED", "NIR", "SWIR")}, units="TOA reflectance, 0-1", reach=6,
    output="reflectance of the same bands", classes="The same four bands. It has no classes.",
    made_by="`TrainCycleGAN` of skysieve 0.1.0", training=RUN, trained_on="simulated pairs",
    metrics={
        "accuracy": {"training": 0.98765, "validation": 0.9, "test": None},
        "mean difference": {"validation": -0.00123},
    },
    formulas={"accuracy": "(TP + TN) / all"}, accuracy="simulated data only",
    limits="Not tried on real products.", licence="MIT", doi="10.1109/JSTARS.2020.3031741",
    citation="Mateo-García et al. (2020).",
)  # fmt: skip


def cells(text):
    return [
        [cell.strip() for cell in line.replace(r"\|", "/").split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_a_card_has_the_sections_and_facts_of_the_others():
    text = render(CARD, NETWORK)
    assert text.startswith("# `genpv2l8`: adaptation of Proba-V\n\nThe generator of a CycleGAN. ")
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "Inputs", "Output and classes", "Training", "Accuracy", "Limits", "Licence", "Citation",
        "How to fetch it",
    ]  # fmt: skip
    rows = cells(text)
    assert ["file", "`genpv2l8.weights.h5`, 131,072 bytes"] in rows
    assert ["SHA-256", f"`{'ab' * 32}`"] in rows
    assert ["from", "`TrainCycleGAN` of skysieve 0.1.0"] in rows
    assert ["NIR", "3", "1.0000000", "-0.4600000"] in rows
    assert ["pairs / simulated", "training", "12", "3,456", "43.2 %"] in rows
    assert ["pairs / simulated", "validation", "3", "789", "not labelled"] in rows
    assert ["pairs / simulated", f"`{'cd' * 32}`", "CC0-1.0"] in rows
    assert ["`gradient_penalty_mode`", "`real`"] in rows
    assert ["`gradient_penalty_weight`", "`10.0`"] in rows
    assert ["`augment`", "`true`"] in rows
    assert ["epochs", "25, best 19"] in rows and ["steps", "1,800"] in rows
    assert ["keras", "3.15.1"] in rows and ["arithmetic", "float32"] in rows
    assert ["metric", "training", "validation", "test", "what it is"] in rows
    assert ["accuracy", "0.9877", "0.9", "undefined", "(TP + TN) / all"] in rows
    assert ["mean difference", "not computed", "-0.00123", "not computed", ""] in rows
    words = " ".join(text.split())
    assert "inputs up to 6 pixels away" in words and "doi:10.1109/JSTARS.2020.3031741" in words
    assert "16,452 parameters, 64 filters in the first convolution and batch normal" in words
    assert text.endswith("FetchCheckpoint --name genpv2l8\n```\n")
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 100
    widths = {tuple(len(row) for row in cells(block)) for block in text.split("\n\n")}
    assert all(len(set(each)) <= 1 for each in widths)


def test_a_network_without_reach_says_so():
    words = " ".join(render(replace(CARD, reach=None), NETWORK).split())
    assert "depends on the whole image" in words and "pixels away" not in words


def test_the_card_of_a_network_that_removes_clouds():
    summary = WeightsSummary("dsen2cr", 15, 256, 16, "none", 13, True, 0.1)
    numbers = tuple(range(15))
    network = replace(NETWORK, summary=summary, factor=numbers, added=numbers)
    bands = {"sentinel2_sentinel1": tuple(f"B{n}" for n in range(13)) + ("VV", "VH")}
    checked = {"multiplier": 1.25, "coverage": 0.9123, "correlation": 0.5}
    text = render(replace(CARD, bands=bands, spread=checked), network)
    said = " ".join(text.split())
    assert "It has 16,452 parameters, 16 residual blocks of 256 features, scaled by 0.1." in said
    assert "its last layer takes them back: give it plain reflectance and decibels." in said
    assert ["multiplier", "1.25"] in cells(text) and ["coverage", "0.9123"] in cells(text)
    assert "checked" not in render(CARD, NETWORK)


def test_what_the_check_of_a_spread_found_is_read_back(tmp_path):
    save_weights(build_generator(4, width=1), tmp_path / "gen.weights.h5")
    checked = {"multiplier": 1 / 3, "coverage": 0.9, "correlation": -0.125}
    write_cards(tmp_path, {"gen.weights.h5": replace(CARD, spread=checked)})
    (entry,) = read_registry(tmp_path / TABLE).values()
    assert entry.spread == checked


def test_a_card_under_another_name_is_that_of_a_file_called_so():
    text = render(CARD, NETWORK)
    other = render(CARD, replace(NETWORK, file="mine.weights.h5"))
    assert retitled(text, "genpv2l8", "mine") == other != text


def test_a_file_says_what_it_is(tmp_path):
    model = build_unet(4, width=2, offset=OFFSET, scale=SCALE)
    path = tmp_path / "unet.weights.h5"
    digest = save_weights(model, path)
    found = network_file(path)
    assert (found.sha256, found.size) == (digest, path.stat().st_size)
    assert found.summary == WeightsSummary("unet", 4, 2, 0, "batch")
    assert (found.name, found.parameters) == ("unet", model.count_params())
    assert found.factor == SCALE
    np.testing.assert_allclose(found.added, -np.multiply(SCALE, OFFSET), rtol=1e-6)
    assert (found.graph, found.graph_sha256) == ("", "")
    (tmp_path / "unet.npz").write_bytes(b"description")
    found = network_file(path)
    assert found.graph == "unet.npz"
    assert found.graph_sha256 == hashlib.sha256(b"description").hexdigest()


def test_files_that_are_not_registered_have_no_card(tmp_path):
    save_weights(build_discriminator(4, width=1, depth=1), tmp_path / "disc.weights.h5")
    with pytest.raises(ValueError, match="disc.*holds a discriminator .*; expected a detector or"):
        network_file(tmp_path / "disc.weights.h5")
    for name in ("disc.h5", "a b.weights.h5", ".weights.h5"):
        with pytest.raises(ValueError, match=r"that ends in \.weights\.h5"):
            network_file(tmp_path / name)


def test_the_folder_of_a_training_is_a_registry(tmp_path):
    cards = {}
    for name in ("genpv2l8", "genl82pv"):
        file = f"{name}.weights.h5"
        save_weights(build_generator(4, width=4, offset=OFFSET), tmp_path / file)
        cards[file] = CARD
    (tmp_path / "genpv2l8.npz").write_bytes(b"description")
    write_cards(tmp_path, cards)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(first) == [
        "genl82pv.md", "genl82pv.weights.h5", "genpv2l8.md", "genpv2l8.npz", "genpv2l8.weights.h5",
        TABLE,
    ]  # fmt: skip
    found = read_registry(tmp_path / TABLE)
    assert list(found) == ["genpv2l8", "genl82pv"]
    for name, entry in found.items():
        assert entry == card_entry(CARD, network_file(tmp_path / f"{name}.weights.h5"), tmp_path)
        assert entry.shipped == tmp_path / entry.file
        assert entry.card.read_text(encoding="utf-8").startswith(f"# `{name}`: ")
        assert entry.bands == {"probav": ("BLUE", "RED", "NIR", "SWIR")}
    assert [each.graph for each in found.values()] == ["genpv2l8.npz", ""]
    write_cards(tmp_path, cards)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"bands": {"probav": ("BLUE",)}},
            "holds a generator for 4 bands .*bands of probav in its",
        ),
        ({"bands": {}}, "expected as many bands of a sensor in its card"),
        ({"accuracy": ""}, "has no proper accuracy"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(change, message, tmp_path):
    save_weights(build_generator(4, width=1), tmp_path / "gen.weights.h5")
    with pytest.raises(ValueError, match=message):
        write_cards(tmp_path, {"gen.weights.h5": replace(CARD, **change)})


ENTRY = Checkpoint(
    "a-b_1", "a.h5", "0a" * 32, 12, ("https://example.org/a",), "unet", {"s": ("B1", "B2")},
    "u", "o", "MIT", "me", "10/x", "t", "a", Path("folder"),
)  # fmt: skip


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_text_comes_back_from_a_table(text, other):
    entry = replace(ENTRY, units=text, bands={other: (text, "B2")})
    table = tomllib.loads(table_text([entry, replace(entry, name="second")]))
    assert list(table) == ["a-b_1", "second"]
    assert table["a-b_1"] == {
        "file": "a.h5", "sha256": "0a" * 32, "size": 12, "urls": ["https://example.org/a"],
        "architecture": "unet", "units": text, "output": "o", "licence": "MIT", "source": "me",
        "doi": "10/x", "trained_on": "t", "accuracy": "a", "bands": {other: [text, "B2"]},
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ['"', "\\", "\n\r\t", "\x00\x1f\x7f\x80", "ä\u2028\U0001f300", "#]"]
)
def test_texts_that_toml_escapes(text):
    assert tomllib.loads(table_text([replace(ENTRY, output=text)]))["a-b_1"]["output"] == text


def test_what_cannot_be_stored_is_refused():
    with pytest.raises(ValueError, match="expected a name of letters, digits, _ and -"):
        table_text([replace(ENTRY, name="a]\n[b")])
    with pytest.raises(ValueError, match="is no text that can be stored"):
        table_text([replace(ENTRY, doi="\ud800")])


def test_shipped_tables_come_back():
    from models.weights.registry import registry, registry_folder

    text = table_text(registry().values())
    table = tomllib.loads((registry_folder() / TABLE).read_text(encoding="utf-8"))
    assert tomllib.loads(text) == table
