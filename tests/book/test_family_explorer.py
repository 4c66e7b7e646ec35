"""The explorer of the families in a real browser: marks, choice, address, keyboard."""

import random
from functools import partial
from math import log10

import pytest

from effnet_lib import family_explorer
from effnet_lib.explore.family import AXES, VIEWS, choose, display_name, frontier, networks, points, seen

from .conftest import SET

KEYS = [axis[0] for axis in AXES]
SIZE = {axis[0]: axis[3] for axis in AXES}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return family_explorer().save(tmp_path_factory.mktemp("explorer") / "family.html").as_uri()


@pytest.fixture
def open_page(open_saved, address):
    return partial(open_saved, address, reduced_motion="reduce")


def test_the_script_equals_the_library(open_page):
    """What takes part, the frontier, and the choice at random budgets, in every view and on every axis."""
    choice = random.Random(0)
    settings = [
        (view, axis, SIZE[axis] * low * (high / low) ** choice.random())
        for view, *_ in VIEWS for axis, _, _, _, low, high, _, _ in AXES for _ in range(40)
    ]  # fmt: skip
    found = open_page().evaluate(
        """(settings) => {
          const { networks, views, images } = document.querySelector("effnet-family-explorer").data;
          const key = (point) => point?.network.key ?? null;
          return settings.map(([view, axis, budget]) => {
            const taking = EffnetFamily.taking(EffnetFamily.points(networks, views.find((one) => one.key === view), axis));
            return [taking.map((p) => [key(p), p.cost, p.top1]), EffnetFamily.frontier(taking).map(key),
              EffnetFamily.choose(taking, budget, images).map(key)];
          });
        }""",
        settings,
    )
    for (view, axis, budget), (taking, kept, chosen) in zip(settings, found):
        expected = points(view, axis)
        assert [tuple(one) for one in taking] == expected
        assert kept == frontier(expected)
        assert tuple(chosen) == choose(expected, budget), (view, axis, budget)


def drawn(page):
    """Middle of each visible mark, in pixels of the picture."""
    return page.evaluate("""() => Object.fromEntries([...document.querySelectorAll(".fam-point:not([hidden])")].map((b) => {
      const box = b.getBoundingClientRect(), plot = b.closest(".fam-plot").getBoundingClientRect();
      return [b.dataset.network, [box.x + box.width / 2 - plot.x, box.y + box.height / 2 - plot.y, b.classList.contains("hollow")]];
    }))""")


def test_marks_stand_where_their_figures_are(open_page):
    page = open_page()
    for view in ("v5", "torchvision", "more"):
        for axis in KEYS:
            page.evaluate(SET, {"fam_view": view, "fam_axis": axis})
            marks = drawn(page)
            taking = {name: (cost, top1) for name, cost, top1 in points(view, axis)}
            assert {name for name, (_, _, hollow) in marks.items() if not hollow} == set(taking)
            order = sorted(taking, key=lambda name: taking[name][0])
            assert [marks[name][0] for name in order] == sorted(marks[name][0] for name in order)
            # ten times the cost is always as far, one point of accuracy always as high
            (x1, y1, _), (x2, y2, _) = marks[order[0]], marks[order[-1]]
            (c1, t1), (c2, t2) = taking[order[0]], taking[order[-1]]
            decade, point = (x2 - x1) / log10(c2 / c1), (y2 - y1) / (t2 - t1)
            for name in order:
                assert marks[name][0] - x1 == pytest.approx(decade * log10(taking[name][0] / c1), abs=0.3)
                assert marks[name][1] - y1 == pytest.approx(point * (taking[name][1] - t1), abs=0.3)


def test_the_budget_answers_and_says_so(open_page):
    page = open_page("#fam_budget=10")
    assert page.locator(".fam-answer").inner_text().startswith("V2-S: 83.9 % with 8.37 G.")
    assert page.locator(".fam-point.best").get_attribute("data-network") == "v2_s"
    page.get_by_role("radio", name="Time, as built").check()
    assert page.locator("[data-control=fam_budget] input[type=number]").input_value() == "100"
    page.wait_for_function("location.hash.includes('fam_axis=as%20built')")
    field = page.locator("[data-control=fam_budget] input[type=number]")
    for typed, value, told in (("1", "12", "it is now 12"), ("", "12", "from 12 to 20,000 ms"), ("200", "200", "")):
        field.fill(typed)
        field.press("Enter")
        assert field.input_value() == value and told in page.locator(".effnet-note").inner_text()
    expected = choose(points("v5", "as built"), 0.2)[0]
    assert page.locator(".fam-point.best").get_attribute("data-network") == expected
    page.wait_for_function("location.hash.includes('fam_budget=200')")
    page.reload()
    assert page.locator(".fam-point.best").get_attribute("data-network") == expected
    page.get_by_role("button", name="Reset").click()
    assert page.locator(".fam-point.best").get_attribute("data-network") == "b2"
    page.evaluate(SET, {"fam_budget": 0})
    assert page.locator(".fam-answer").inner_text() == "Nothing here is that cheap."


def test_the_thumb_stands_under_the_line(open_page):
    for width in (1000, 360):
        page = open_page("#fam_budget=10", viewport={"width": width, "height": 900})
        line = page.evaluate("Number(document.querySelector('.limit path').getAttribute('d').match(/^M([0-9.]+)/)[1])")
        thumb = page.evaluate("""() => { const range = document.querySelector("[name=fam_budget]"), box = range.getBoundingClientRect();
          return box.x - document.querySelector(".fam-plot").getBoundingClientRect().x + 13 + (box.width - 26) * range.value / range.max; }""")
        assert thumb == pytest.approx(line, abs=2)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_recipe_moves_marks_and_leaves_rings(open_page):
    page = open_page()
    assert page.locator(".trails circle").count() == 0
    page.get_by_role("radio", name="torchvision, newest").check()
    assert "ResNet-50 moves most, by +4.9" in page.locator(".fam-what").inner_text()
    assert page.locator(".trails circle").count() > 8
    page.get_by_role("radio", name="Time, as built").check()
    assert "B2" in page.locator(".fam-aside").inner_text()  # tested at a size that was not timed


def test_every_mark_can_be_reached_by_keyboard_and_tells_its_source(open_page):
    page = open_page()
    page.locator(".fam-point[tabindex='0']").focus()
    page.keyboard.press("Home")
    met = []
    for _ in range(40):
        key = page.evaluate("document.activeElement.dataset.network")
        if key in met:
            break
        met.append(key)
        accuracy, _ = seen(key, "v5")
        assert page.locator(".fam-name").inner_text() == display_name(key)
        assert accuracy.edition.source in page.locator(".fam-source").inner_text()
        assert page.locator(".fam-figures .now b").inner_text() == f"{accuracy.top1:.1f}"
        assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(display_name(key))
        page.keyboard.press("ArrowRight")
    assert set(met) == set(networks()) - {"gpipe"}
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash.includes('fam_network=l2')")


def test_a_tap_near_a_mark_pins_it(open_page):
    page = open_page()
    x, y, _ = drawn(page)["resnet152"]
    box = page.locator(".fam-plot").bounding_box()
    page.mouse.click(box["x"] + x + 6, box["y"] + y + 5)
    assert page.locator(".fam-name").inner_text() == "ResNet-152"
    page.wait_for_function("location.hash === '#fam_network=resnet152'")
    page.mouse.move(2, 2)
    assert page.locator(".fam-name").inner_text() == "ResNet-152"
    assert "77.8" in page.locator(".fam-figures").inner_text() and "82.3" in page.locator(".fam-figures").inner_text()
