"""The page of an evaluation in a real browser, which opens it from disk."""

import contextlib
import time

import pytest

WIDTHS = (320, 360, 768, 1280)
# What can be focused and is shown, in the order of the page.
FOCUSABLE = """
[...document.querySelectorAll('a[href], summary, button, [tabindex="0"]')]
  .filter((e) => e.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true}))
"""


@pytest.fixture(scope="module")
def page(evaluated, browsers):
    with browsers.open_page(evaluated.page, width=1280) as opened:
        yield opened


def test_it_loads_itself_and_nothing_else_without_complaint(page, evaluated):
    others = [each for each in page.requests if not each.startswith("data:image/png")]
    assert [each for each in others if each != "data:"] == [evaluated.page.resolve().as_uri()]
    assert page.messages == []
    assert page.value("document.images.length") == 12
    assert page.value("[...document.images].every((i) => i.complete && i.naturalWidth > 300)")


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(page, width):
    page.resize(width)
    assert page.value("document.documentElement.scrollWidth") == width
    beyond = page.value(
        "[...document.querySelectorAll('h1, h2, h3, p, dl, figcaption, .caution, nav, svg')]"
        ".filter((e) => e.getBoundingClientRect().right > innerWidth"
        "   && !e.closest('table')).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert beyond == []


def test_the_headline_can_be_read_on_a_phone_without_scrolling_it(page):
    page.resize(360)
    sizes = page.value(
        "(() => { const s = document.getElementById('headline').parentElement;"
        " return [s.scrollWidth, s.clientWidth]; })()"
    )
    assert sizes[0] <= sizes[1]
    # No text is smaller than 10 CSS pixels, in figures either.
    least = page.value(
        "Math.min(...[...document.querySelectorAll('svg[role=img] text')].map((t) => {"
        " const s = t.ownerSVGElement; return parseFloat(getComputedStyle(t).fontSize)"
        " * s.getBoundingClientRect().width / s.viewBox.baseVal.width; }))"
    )
    assert least >= 9.5


def test_labels_of_figures_lie_within_them(page):
    page.resize(1280)
    outside = page.value(
        "[...document.querySelectorAll('svg[role=img]')].flatMap((s) => {"
        " const b = s.getBoundingClientRect();"
        " return [...s.querySelectorAll('text')].filter((t) => { const r ="
        "  t.getBoundingClientRect(); return r.left < b.left - 1 || r.right > b.right + 1"
        "  || r.top < b.top - 1 || r.bottom > b.bottom + 1; }).map((t) => t.textContent); })"
    )
    assert outside == []


def test_everything_is_named_for_those_who_do_not_see_it(page):
    page.ask("Accessibility.enable")
    nodes = page.ask("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    for role in ("image", "img", "link", "region", "table", "button", "DisclosureTriangle"):
        for node in shown:
            if node["role"].get("value") == role:
                assert node.get("name", {}).get("value"), node
    images = [n for n in shown if n["role"].get("value") in ("image", "img")]
    assert len(images) > 25
    levels = [
        next(p["value"]["value"] for p in node["properties"] if p["name"] == "level")
        for node in shown
        if node["role"].get("value") == "heading"
    ]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))


def test_the_tab_key_reaches_everything_in_order_and_shows_where_it_is(page):
    page.resize(1280)
    page.value(f"window.expected = {FOCUSABLE}; window.seen = []; document.activeElement.blur()")
    count = page.value("expected.length")
    assert count > 60
    for _ in range(count):
        page.press("Tab")
        page.value("seen.push(document.activeElement)")
    assert page.value("seen.length") == count
    missed = page.value("expected.filter((e, i) => e !== seen[i]).map((e) => e.outerHTML)")
    assert missed == []
    assert page.value(
        "(() => { const s = getComputedStyle(document.activeElement);"
        " return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; })()"
    )


def test_a_formula_opens_with_the_enter_key(page):
    page.value("document.querySelector('#headline summary').focus()")
    assert not page.value("document.querySelector('#headline details').open")
    page.press("Enter")
    assert page.value("document.querySelector('#headline details').open")
    assert page.value("document.querySelector('#headline details p').checkVisibility()")
    page.press("Enter")


def test_scenes_are_sorted_by_keyboard(page):
    page.value("document.querySelector('details.long').open = true")
    order = (
        "[...document.querySelector('table.sortable').tBodies[0].rows]"
        ".map((r) => parseFloat(r.cells[3].dataset.value))"
    )
    page.value("document.querySelectorAll('table.sortable th button')[3].focus()")
    page.press("Enter")
    values = page.value(order)
    assert values == sorted(values) and len(values) == 24
    assert page.value("document.querySelector('th[aria-sort]').textContent") == "OA"
    page.press("Enter")
    assert page.value(order) == sorted(values, reverse=True)
    page.value("document.querySelector('details.long').open = false")


def test_a_dark_page_is_dark_and_its_figures_light(page):
    page.resize(1280, dark=True)
    ground = page.value("getComputedStyle(document.body).backgroundColor")
    ink = page.value("getComputedStyle(document.querySelector('svg[role=img] text')).fill")
    assert sum(map(int, ground[4:-1].split(","))) < 120
    assert sum(map(int, ink[4:-1].split(","))) > 600
    page.resize(1280)


def test_print_opens_the_formulas_and_leaves_out_the_menu(page):
    page.resize(720, dark=True, media="print")
    assert page.value("document.documentElement.scrollWidth") == 720
    assert not page.value("document.querySelector('nav').checkVisibility()")
    closed = "document.querySelector('#headline details:not([open]) p')"
    assert page.value(f"{closed}.getBoundingClientRect().height") > 20
    assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.resize(1280)


def test_long_names_make_nothing_wider(page):
    page.resize(360)
    page.value(
        "for (const e of document.querySelectorAll("
        "'h1, h2, h3, summary, .lead, .name > span, .legend li, figcaption strong, dd'))"
        " e.append('LC08_L1TP_002053_20160520_20170324_01_T1_landsatbiomeRGBISWIR7')"
    )
    assert page.value("document.documentElement.scrollWidth") == 360
    headline = "document.getElementById('headline').parentElement"
    assert page.value(f"{headline}.scrollWidth === {headline}.clientWidth")


def test_all_numbers_are_there_without_the_script(page):
    page.value("document.documentElement.id = 'before'")
    page.ask("Emulation.setScriptExecutionDisabled", value=True)
    page.ask("Page.reload")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        # Between the one page and the next, nodes vanish.
        with contextlib.suppress(RuntimeError):
            if count(page, "html:not(#before) #definitions"):
                break
        time.sleep(0.1)
    rows, buttons = count(page, "table.sortable tbody tr"), count(page, "th button")
    figures = count(page, "svg[role=img]")
    page.ask("Emulation.setScriptExecutionDisabled", value=False)
    assert rows == 3 * 24 and buttons == 0 and figures > 15


def count(page, selector):
    """Return how many elements there are, without a script of the page."""
    document = page.ask("DOM.getDocument", depth=0)["root"]["nodeId"]
    found = page.ask("DOM.querySelectorAll", nodeId=document, selector=selector)
    return len(found["nodeIds"])
