"""What stands in the explorer of the families is published, counted or recorded."""

import json
import re

import pytest

from effnet_lib import count_cost, family_explorer, list_accuracies, recorded
from effnet_lib.explore.family import (
    AXES, RECORD, VIEWS, choose, cost_of, display_name, frontier, measured_times, networks, points, seen,
)  # fmt: skip


@pytest.fixture(scope="module")
def explorer():
    return family_explorer()


def test_self_contained_and_the_same_every_time(explorer):
    html = explorer._repr_html_()
    assert html == family_explorer()._repr_html_()
    assert set(re.findall(r"https?://[^\s\"'`)]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href)=|@import|url\((?!#)|import\(|fetch\(|type=\"module\"", html)
    embedded = re.search(r'<script type="application/json">(.*?)</script>', html, re.S).group(1)
    assert json.loads(embedded) == json.loads(json.dumps(explorer.data))


def test_every_published_figure_is_in_the_data(explorer):
    entries = {entry["key"]: entry for entry in explorer.data["networks"]}
    assert list(entries) == networks()
    for one in list_accuracies():
        figure = entries[one.network]["figures"][one.edition.key]
        assert figure == [one.top1, one.resolution, one.multiply_adds]
        assert entries[one.network]["parameters"] == one.parameters
        assert explorer.data["editions"][one.edition.key] == [one.edition.name, one.edition.source]


def test_every_mark_lies_on_its_axis():
    low_high = {key: (low * size, high * size) for key, _, _, size, low, high, _, _ in AXES}
    for view, _, _, _ in VIEWS:
        for network in networks():
            accuracy, _ = seen(network, view)
            assert 73 < accuracy.top1 < 90
            for axis, (low, high) in low_high.items():
                cost = cost_of(accuracy, axis)
                assert cost is None or low < cost < high


def test_what_a_view_shows():
    assert seen("b7", "first")[0].top1 == 84.4 and seen("b7", "v5")[0].top1 == 84.3
    assert seen("l2", "v5") == (list_accuracies("l2", "noisystudent")[0], False)
    assert seen("b1", "newest")[0].top1 > seen("b1", "torchvision")[0].top1
    assert {name for name, _, _ in points("july", "parameters")} == {f"b{i}" for i in range(8)}
    assert "gpipe" in dict.fromkeys(name for name, _, _ in points("v5", "parameters"))
    assert "gpipe" not in {name for name, _, _ in points("v5", "multiply_adds")}
    # torchvision tests B2 at a size at which it was not timed
    assert cost_of(seen("b2", "torchvision")[0], "multiply_adds") == count_cost("b2", 288).multiply_adds
    assert cost_of(seen("b2", "torchvision")[0], "as built") is None


def test_times_are_corrected_by_the_yardstick():
    rows = recorded(RECORD)["networks"]
    quickest = min(row["yardstick_seconds"] for row in rows)
    for row in rows:
        resolution, seconds = measured_times()[row["name"], row["way"]]
        assert resolution == row["resolution"] and seconds <= row["seconds"]
        assert seconds / row["seconds"] == pytest.approx(quickest / row["yardstick_seconds"])


def test_nothing_beats_the_frontier_and_the_choice_lies_on_it():
    for view, _, _, _ in VIEWS:
        for axis in ("multiply_adds", "parameters", "as built", "optimised"):
            taking = points(view, axis)
            kept = frontier(taking)
            place = {name: (cost, top1) for name, cost, top1 in taking}
            for name, (cost, top1) in place.items():
                better = [o for o, (c, t) in place.items() if o != name and c <= cost and t >= top1]
                assert (name in kept) == (not better), (view, axis, name)
            for name, (cost, _) in place.items():
                best, alike = choose(taking, cost)
                assert best in kept and place[best][0] <= cost
                assert alike is None or place[alike][0] < place[best][0]


def test_a_choice_by_hand():
    assert choose(points("v5", "multiply_adds"), 1e9) == ("b2", None)
    assert choose(points("v5", "multiply_adds"), 1e6) == (None, None)
    two = [("cheap", 1.0, 80.0), ("dear", 9.0, 80.3), ("far", 9.0, 78.0)]
    assert choose(two, 10) == ("dear", "cheap") and choose(two, 5) == ("cheap", None)


def test_without_a_record_the_axes_of_time_are_gone(monkeypatch):
    monkeypatch.setattr("effnet_lib.explore.family.RECORD", "no-such-record")
    data = family_explorer().data
    assert [axis["key"] for axis in data["axes"]] == ["multiply_adds", "parameters"] and data["measured"] == ""


def test_the_static_table(explorer):
    assert explorer.static.count('scope="row"') == len(networks())
    for text in ("MobileNetV3-Large", "Lite4", "V2-XL", "84.4", "80.858", "475.70", "557.0"):
        assert text in explorer.static
    assert display_name("v2_b0") == "V2-B0" and display_name("lite0") == "Lite0" and display_name("l2") == "L2"


def test_figures():
    from effnet_lib.explore import figures_family

    for draw in (figures_family.plot_editions, figures_family.plot_recipe, figures_family.plot_rates):
        assert len(draw().axes) == 1
    texts = {text.get_text() for text in figures_family.plot_rates("optimised").axes[0].texts}
    assert "B0" in texts and "ResNet-50" not in texts  # timed as built only
