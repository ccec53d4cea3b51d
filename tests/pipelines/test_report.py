"""The page of an evaluation: its HTML, its figures and pictures."""

import base64
import dataclasses
import io
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.report import Tables
from pipelines.report.beside import beside
from pipelines.report.figures import Line, Point, dots, lines
from pipelines.report.gallery import data_uri, entries, scene_picture
from pipelines.report.page import report_html
from pipelines.report.results import Results
from pipelines.report.svg import svg_text
from scenes.classes import LabelClass

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STYLE = ROOT / "pipelines/report/templates/style.css"
# Elements of HTML that have no end tag, and those of SVG that may be written so.
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Outline(HTMLParser):
    """Elements of a page, with errors of their nesting."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.errors, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        self.errors += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        if len(set(names)) != len(names):
            self.errors.append(f"<{tag}> repeats an attribute: {names}")
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.errors.append(f"</{tag}> closes something else at line {self.getpos()[0]}")

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def outline(evaluated):
    return Outline(evaluated.page.read_text())


def test_the_page_is_well_formed_and_every_reference_resolves(outline):
    assert outline.errors == []
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(set(ids)) == len(ids) > 50
    for tag, attributes in outline.elements:
        for name in ("aria-labelledby", "aria-describedby", "aria-controls", "for"):
            for reference in attributes.get(name, "").split():
                assert reference in ids, (tag, name, reference)
        for name in ("href", "clip-path", "style"):
            for reference in re.findall(r"(?:^|url\()#([\w-]+)", attributes.get(name) or ""):
                assert reference in ids, (tag, name, reference)


def test_the_page_needs_no_other_file(evaluated, outline):
    text = evaluated.page.read_text()
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    for tag, attributes in outline.elements:
        for name in ("src", "srcset", "data", "action", "poster", "background"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, name)
        if tag in ("link", "use", "image"):
            assert attributes["href"].startswith(("data:", "#")), attributes
    (policy,) = [
        a["content"] for a in outline.all("meta") if a.get("http-equiv", "").startswith("Content-S")
    ]
    assert policy.startswith("default-src 'none'") and "http" not in policy
    assert evaluated.page.stat().st_size < 3_000_000
    assert not re.search(r"/(home|work|tmp|root)/", text)


def test_headings_are_in_order_and_sections_as_promised(outline):
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    sections = [attributes["aria-labelledby"] for attributes in outline.all("section")]
    assert sections == [
        "evaluated", "scores", "differences", "confusion", "where", "probabilities", "gallery",
        "published", "provenance", "definitions",
    ]  # fmt: skip


def test_every_picture_has_words_and_every_table_a_caption(evaluated, outline):
    images = outline.all("img")
    assert len(images) == len(evaluated.gallery) == 12
    assert all(len(attributes["alt"]) > 80 for attributes in images)
    figures = [a for a in outline.all("svg") if a.get("role") == "img"]
    assert len(figures) > 15
    assert all("-title " in attributes["aria-labelledby"] for attributes in figures)
    others = [a for a in outline.all("svg") if a.get("role") != "img"]
    assert all(attributes["aria-hidden"] == "true" for attributes in others)
    assert len(outline.all("caption")) == len(outline.all("table"))
    regions = [a for a in outline.all("div") if a.get("role") == "region"]
    assert all(a["tabindex"] == "0" for a in regions)
    assert all("aria-label" in a or "aria-labelledby" in a for a in regions)


def test_the_page_says_what_the_numbers_are(evaluated):
    text = " ".join(evaluated.page.read_text().split())
    assert "A simulated score is no expected real accuracy" in text
    assert "(TP + TN) / (TP + FP + FN + TN)" in text
    assert "Without probabilities, and so without a curve: operational mask" in text
    row = evaluated.tables.scores.query(
        "detector == 'adapted' and score == 'kappa' and kind == 'all' and how == 'pooled'"
        " and task == 'cloud' and thin == 'cloud'"
    ).iloc[0]
    assert f"{row.number:.3f}" in text and f"[{row.low:.3f}, {row.high:.3f}]" in text
    assert "undefined in 2 scenes" in text
    assert "Nothing is published on simulated scenes." in text


def test_equal_tables_give_equal_bytes(evaluated, evaluations):
    evaluations.write(evaluated.tables, evaluated.folder)
    code = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import small_evaluation
from pipelines.report import Tables, write_report
folder = Path(sys.argv[1])
tables = Tables.read(folder)
write_report(
    folder / "again.html", tables, title=sys.argv[3],
    gallery={path.name: path for path in sorted(folder.glob("*.png"))},
    provenance=small_evaluation.provenance(tables),
)
"""
    path = os.pathsep.join([str(ROOT), str(ROOT / "io")])
    subprocess.run(
        [sys.executable, "-c", code, str(evaluated.folder), str(HERE), evaluated.title],
        env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "1"},
        check=True,
        cwd=evaluated.folder,
    )
    assert (evaluated.folder / "again.html").read_bytes() == evaluated.page.read_bytes()


def page_of(evaluated, **changes):
    tables = dataclasses.replace(evaluated.tables, **changes)
    return report_html(tables, title="A", gallery={}, provenance=[])


def renamed(tables, old, new):
    """Return all tables with another name of a detector."""
    frames = {}
    for field in dataclasses.fields(tables):
        frame = getattr(tables, field.name)
        frames[field.name] = frame.replace({"detector": {old: new}, "than": {old: new}})
    return Tables(**frames)


def test_names_of_users_cannot_become_markup(evaluated):
    name = '<script>alert("1")</script>&{{ 7 * 7 }}'
    tables = renamed(evaluated.tables, "ours", name)
    text = report_html(
        tables, title=name, gallery=evaluated.gallery, provenance=[{"name": name, name: name}]
    )
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert Outline(text).errors == []
    assert "".join(Outline(text).texts).count(name) > 20


def test_addresses_that_would_run_something_are_refused(evaluated):
    for key in ("href", "record"):
        with pytest.raises(ValueError, match="relative to the page"):
            report_html(
                evaluated.tables, title="A", gallery={},
                provenance=[{"name": "mask", key: "javascript:alert(1)"}],
            )  # fmt: skip


def test_agreement_is_marked_wherever_a_number_is(evaluated):
    scenes = evaluated.tables.scenes
    text = page_of(evaluated, scenes=scenes.assign(agreement=True, truth_kind="qa"))
    assert "Overall agreement" in text and "Agreement, not accuracy." in text
    assert "all numbers say how far two masks agree" in text.replace("\n", " ")
    one = scenes["detector"] == "operational mask"
    text = page_of(evaluated, scenes=scenes.assign(agreement=one, truth_kind="38c"))
    assert "the numbers of operational mask say" in text and "Overall accuracy" in text
    rows = re.findall(r"operational mask</span></span>\s*<span class=\"chip\">agreement", text)
    assert len(rows) > 10


def test_a_page_of_the_least_tables(evaluated):
    """One mask on its own: no pair, no probability, no dilation, no picture."""
    keep = {
        field.name: (frame := getattr(evaluated.tables, field.name))[
            frame["detector"] == "operational mask"
        ]
        for field in dataclasses.fields(evaluated.tables)
    }
    none = {name: evaluated.tables.__dict__[name].head(0) for name in ("differences", "dilation")}
    scores = keep["scores"].query("kind == 'all' and score == 'overall_accuracy'")
    tables = Tables(**(keep | none | {"scores": scores}))
    text = report_html(tables, title="A", gallery={}, provenance=[])
    found = Outline(text)
    assert found.errors == []
    sections = [attributes["aria-labelledby"] for attributes in found.all("section")]
    assert "differences" not in sections and "probabilities" not in sections
    assert "No pictures were drawn." in text and "None was given." in text
    links = [a["href"][1:] for a in found.all("a") if a["href"].startswith("#")]
    assert set(links) == set(sections)


def whole_benchmark(evaluated, count=96):
    """Return the tables as if they were of all scenes of L8 Biome."""
    more = []
    for _, own in evaluated.tables.scenes.groupby("detector", sort=False):
        rest = pd.concat([own] * (-(-count // len(own)))).iloc[len(own) : count]
        more.append(rest.assign(scene=[f"LC8{number:03d}" for number in range(len(rest))]))
    scenes = pd.concat([evaluated.tables.scenes, *more]).assign(truth_kind="biome", image="")
    return dataclasses.replace(evaluated.tables, scenes=scenes)


def test_published_figures_stand_beside_results_on_the_whole_benchmark(evaluated):
    tables = whole_benchmark(evaluated)
    found = beside(tables, Results(tables))
    whole, *strata = found.comparisons
    assert whole.columns == ("OA", "PA", "UA", "F1")
    assert [line.method for line in whole.lines][:3] == ["ours", "adapted", "operational mask"]
    lines = {(line.method, line.source): line.cells for line in whole.lines}
    assert lines["FMask", 1] == ("88.48", "–", "–", "–")
    assert lines["FMask", 2] == ("84.75", "90.31", "80.34", "85.03")
    assert ("87.79 to 89.77", "–", "–", "–") in lines.values()
    assert [source.number for source in found.sources] == [1, 2, 3, 4]
    surface = next(each for each in strata if "surface" in each.label)
    # Of crop and snow as they are made here nothing is published.
    assert surface.columns == ("forest", "water")
    assert {line.method: line.cells for line in surface.lines}["FMask"] == ("92.58", "94.76")
    text = report_html(tables, title="A", gallery={}, provenance=[])
    assert "92.58" in text and "Not stated:</strong> number of scenes" in text
    assert Outline(text).errors == []
    (kept,) = [each for each in found.held_back if "|CAD|" in each.scores]
    assert (kept.paper[:6], kept.figures) == ("UNmask", 1)


def test_figures_that_may_not_stand_beside_a_result_are_named_without_their_numbers(evaluated):
    scenes = evaluated.tables.scenes.assign(truth_kind="biome", image="")
    tables = dataclasses.replace(evaluated.tables, scenes=scenes)
    found = beside(tables, Results(tables))
    assert found.comparisons == () and sum(each.figures for each in found.held_back) > 20
    text = report_html(tables, title="A", gallery={}, provenance=[])
    assert "No published figure on L8 Biome has the conditions of this result." in text
    assert "it is of all 96 scenes of the set, this result of 24" in text
    assert not any(number in text for number in ("84.75", "88.48", "93.81"))
    unknown = scenes.assign(truth_kind="mine")
    absent = beside(dataclasses.replace(tables, scenes=unknown), Results(tables))
    assert absent.absence == "The package has no published figures for a truth of mine."


def test_the_gallery_goes_from_the_worst_to_the_best(evaluated):
    found = entries(evaluated.tables, evaluated.gallery, evaluated.provenance)
    for detector in evaluated.tables.detectors:
        own = [each for each in found if each.detector == detector]
        assert [each.rank for each in own] == [24, 23, 2, 1]
        assert [each.is_worse for each in own] == [True, True, False, False]
    clear = next(each for each in found if each.scene == "seed 00" and each.detector == "adapted")
    assert clear.numbers["PA"] == "undefined" and clear.numbers["OA"].startswith("100.0")
    assert "The truth has 0% cloud" in clear.alternative
    linked = next(each for each in found if each.links)
    name = f"{linked.scene.replace(' ', '-')}_mask.tif"
    assert linked.links == {
        "mask": f"masks/{name}", "mask, its record": f"masks/{name}.json",
    }  # fmt: skip


def test_pictures_that_are_not_there_or_no_pictures(evaluated, tmp_path):
    name = next(iter(evaluated.gallery))
    with pytest.raises(ValueError, match="x.png, which no scene names"):
        entries(evaluated.tables, {"x.png": evaluated.gallery[name]}, [])
    with pytest.raises(FileNotFoundError, match="gone.png"):
        entries(evaluated.tables, {name: tmp_path / "gone.png"}, [])
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="a.png is no picture"):
        data_uri(tmp_path / "a.png", 1000)
    Image.new("RGB", (9, 9)).save(tmp_path / "b.png", "JPEG")
    with pytest.raises(ValueError, match="b.png is JPEG: expected a PNG"):
        data_uri(tmp_path / "b.png", 1000)


def opened(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def test_a_small_picture_is_embedded_as_it_is_and_a_large_one_shrunk(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (300, 600, 3), np.uint8)
    path = tmp_path / "noise.png"
    Image.fromarray(noise).save(path)
    uri, *size = data_uri(path, 10_000_000)
    assert size == [600, 300] and base64.b64decode(uri.split(",")[1]) == path.read_bytes()
    uri, width, height = data_uri(path, 40_000)
    small = opened(uri)
    assert (
        small.size == (width, height) and width < 600 and width == pytest.approx(2 * height, 0.02)
    )
    assert len(base64.b64decode(uri.split(",")[1])) <= 40_000


def test_twelve_large_pictures_leave_the_page_below_three_megabytes(evaluated, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (300, 900, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    gallery = dict.fromkeys(evaluated.gallery, tmp_path / "noise.png")
    text = report_html(evaluated.tables, title="A", gallery=gallery, provenance=[])
    assert text.count("data:image/png;base64") == 12
    assert 1_500_000 < len(text.encode()) < 3_000_000


def test_the_picture_of_a_scene_shows_what_is_missed_and_what_is_false(tmp_path):
    truth = np.full((10, 10), LabelClass.CLEAR, np.uint8)
    truth[:5] = LabelClass.THICK_CLOUD
    mask = np.full((10, 10), LabelClass.CLEAR, np.uint8)
    mask[:, :5] = LabelClass.CLOUD
    mask[0] = LabelClass.UNLABELLED
    scene_picture(tmp_path / "a.png", np.zeros((10, 10, 3), np.uint8), truth, mask)
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    panel = picture[:, -316:-16]
    whole = 300 * 300
    # Of ten rows one is not scored; of the others 4 x 5 are missed and 5 x 5 false.
    assert (panel == (213, 94, 0)).all(axis=-1).sum() == pytest.approx(0.2 * whole, rel=0.02)
    assert (panel == (86, 180, 233)).all(axis=-1).sum() == pytest.approx(0.25 * whole, rel=0.02)
    assert (panel == (32, 32, 36)).all(axis=-1).sum() == pytest.approx(0.1 * whole, rel=0.02)
    with pytest.raises(ValueError, match="of one shape"):
        scene_picture(tmp_path / "b.png", np.zeros((9, 9, 3), np.uint8), truth, mask)


def figure(text):
    return Outline(str(text)).elements


def test_figures_have_words_colours_of_the_page_and_ids_of_their_own():
    points = [Point(0, 0, 90.0, 85.0, 95.0), Point(0, 1, 80.0, few=True), Point(1, 0, math.nan)]
    drawing = dots("one", "A < B", "in words", ["OA", "BOA"], points, axis="share (%)")
    text = str(drawing.svg)
    assert drawing.title == "A < B" and "A &lt; B</title>" in text and "in words</desc>" in text
    assert "undefined" in text and ">share (%)</text>" in text
    assert "currentColor" in text and "var(--d0)" in text and "var(--d1)" in text
    # Other colours would be lost on a dark page.
    assert set(re.findall(r"#[0-9a-f]{6}", text)) == set()
    # An open mark of the page's colour for too few groups.
    assert text.count("fill: var(--page)") == 1
    ids = [attributes["id"] for _, attributes in figure(text) if "id" in attributes]
    assert ids and all(each.startswith("one-") for each in ids)
    assert "xmlns:" not in text and "metadata" not in text and "font-family" not in text
    assert not re.search(r"\d\.\d{3}", text)
    again = dots("one", "A < B", "in words", ["OA", "BOA"], points, axis="share (%)")
    assert again == drawing


def test_lines_with_what_is_undefined_in_between():
    own = [Line(7, [0, 1, 2], [0.0, math.nan, 100.0], marked=True)]
    limits = {"x_limits": (0, 2), "y_limits": (0, 100)}
    drawing = lines(
        "two", "t", "d", own, x_axis="m", y_axis="%", points=[(0, 1, 50)], diagonal="chance",
        **limits,
    )  # fmt: skip
    assert "var(--d1)" in drawing.svg and "chance" in drawing.svg


def test_a_name_that_is_no_id_is_refused():
    from matplotlib.figure import Figure

    with pytest.raises(ValueError, match="lower letters, digits and hyphens"):
        svg_text(Figure(), "A b", "t", "d")


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one, other):
    """Return the contrast ratio of WCAG 2.2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_colours_have_contrast(scheme):
    block = re.findall(r":root \{(.*?)\}", STYLE.read_text(), re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", block))
    for text in ("ink", "muted", "link"):
        for ground in ("page", "panel", "caution-page"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["caution"], colours["caution-page"]) >= 4.5
    for place in range(6):
        assert contrast(colours[f"d{place}"], colours["page"]) >= 3, place
    # The strongest shade of a confusion matrix, 42 % of the colour on the page.
    mixed = [
        round(
            0.42 * int(colours["shade"][p : p + 2], 16) + 0.58 * int(colours["page"][p : p + 2], 16)
        )
        for p in (1, 3, 5)
    ]
    assert contrast(colours["ink"], "#{:02x}{:02x}{:02x}".format(*mixed)) >= 4.5
