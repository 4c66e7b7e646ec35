import json
import re

import pytest

from effnet_lib import (
    compound_scaling,
    count_cost,
    dimension_study,
    dimensions_explorer,
    get_variant,
    phi_explorer,
    published_study,
    receptive_field,
    scale_by,
    scale_variant,
)
from effnet_lib.explore import figures_dimensions
from effnet_lib.explore.dimensions import RANGES, WAYS, budget
from effnet_lib.explore.phi import PHI, RELEASED, nearest_phi


@pytest.fixture(scope="module")
def html():
    return phi_explorer()._repr_html_()


@pytest.fixture(scope="module")
def data():
    return phi_explorer().data


def test_the_data_is_the_library(data):
    assert list(data["positions"]) == [f"{step / 10:.1f}" for step in range(71)]
    for phi in PHI:
        multipliers, parameters, multiply_adds, rows = data["positions"][str(phi)]
        scaling, cost = compound_scaling(phi), count_cost(scale_variant(phi))
        assert multipliers == [scaling.depth, scaling.width, scaling.resolution, scaling.multiply_adds]
        assert (parameters, multiply_adds) == (cost.parameters, cost.multiply_adds)
        assert rows == [
            [r.layers, r.channels, r.resolution, r.parameters, r.multiply_adds] for r in cost.stages
        ]


def test_released_networks(data):
    assert [network["name"] for network in data["released"]] == [f"B{i}" for i in range(8)]
    for network, name in zip(data["released"], RELEASED):
        assert network["parameters"] == count_cost(name).parameters
        assert network["top1"] == get_variant(name).published.top1
    assert nearest_phi(get_variant("b0")) == 0 and nearest_phi(get_variant("b2")) == 1


def test_self_contained(html):
    """No address to fetch from, nothing but inline scripts and styles, no module."""
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href)=|@import|url\(|import\(|fetch\(|type=\"module\"", html)


def test_the_data_survives_its_script_element(html):
    embedded = re.search(r'<script type="application/json">(.*?)</script>', html, re.S).group(1)
    assert json.loads(embedded) == json.loads(json.dumps(phi_explorer().data))


def test_the_static_tables_are_complete(html):
    static = re.search(r'<div class="effnet-static">(.*?)</effnet-phi-explorer>', html, re.S).group(1)
    for name in RELEASED:
        cost, variant = count_cost(name), get_variant(name)
        assert f"{cost.parameters:,}" in static and f"{cost.multiply_adds:,}" in static
        assert f"<td>{variant.resolution}</td>" in static and f"<td>{variant.published.top1}</td>" in static
        for row in cost.stages:
            assert f"<td>{row.layers} × {row.channels}</td>" in static
    assert static.count("<caption>") == 2 and static.count('scope="row"') == 8 + 9


def test_same_html_every_time(html):
    assert phi_explorer()._repr_html_() == html


def test_a_page_of_its_own(tmp_path):
    page = phi_explorer().save(tmp_path / "phi.html")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "notebook" in repr(phi_explorer())


def test_the_dimensions_explorer_is_self_contained_and_the_same_every_time():
    html = dimensions_explorer()._repr_html_()
    assert html == dimensions_explorer()._repr_html_()
    assert set(re.findall(r"https?://[^\s\"'`)]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href)=|@import|url\((?!#)|import\(|fetch\(|type=\"module\"", html)


def test_its_static_table_has_every_preset():
    static = dimensions_explorer().static
    assert static.count('scope="row"') == 1 + 4 * len(WAYS)
    for row in published_study()[1:]:
        cost = count_cost(scale_by(**row.factors))
        assert f"{cost.multiply_adds:,}" in static and f"{cost.activations:,}" in static


@pytest.mark.parametrize("times", [2, 4, 8])
def test_a_budget_is_spent_as_well_as_can_be(times):
    goal = times * count_cost("b0").multiply_adds
    for way, factors in budget(times).items():
        assert all(low <= factor <= high for factor, (low, high) in zip(factors, RANGES.values()))

        def missed(change):
            changed = {name: f if f == 1 else round(f + change, 2) for name, f in zip(RANGES, factors)}
            ratio = count_cost(scale_by(**changed)).multiply_adds / goal
            return max(ratio, 1 / ratio)

        if way != "all three":
            assert missed(0) <= min(missed(0.05), missed(-0.05))


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title, axes._left_title)]


def test_our_own_runs_are_drawn_as_soon_as_there_are_records(tmp_path):
    """With records a second panel beside the paper's; without, no trace of one."""
    from test_studies import write_records

    alone = figures_dimensions.plot_single_dimensions(dimension_study(tmp_path))
    assert len(alone.axes) == 1 and not any("our own" in text for text in texts(alone))
    assert any("all three  81.1" in text for text in texts(alone))
    write_records(tmp_path)
    study = dimension_study(tmp_path)
    both = figures_dimensions.plot_single_dimensions(study)
    assert "our own runs, 3 of each" in texts(both)
    lines = {box.get_label(): box.lines[0] for box in both.axes[1].containers}
    assert set(lines) == set(WAYS)
    assert list(lines["depth"].get_xdata()) == [1, 2, 4]
    assert list(lines["depth"].get_ydata()) == [row.accuracy for row in study[:3]]


def test_the_other_figures_of_chapter_1():
    assert len(figures_dimensions.plot_three_words().axes) == 4
    gains = figures_dimensions.plot_dimension_gains()
    assert {f"{row.accuracy:.1f}" for row in published_study("resnet50")[1:]} <= set(texts(gains))


def test_the_side_that_holds_the_influence():
    field = receptive_field("b0")[4]  # 16 pixels from one to the next
    heat = [[0.0] * 64 for _ in range(64)]
    middle = 16  # the second of four outputs
    heat[middle][middle] = 3
    heat[middle][middle + 5] = 1
    assert figures_dimensions.influence_side(heat, field, 0.7) == 1
    assert figures_dimensions.influence_side(heat, field, 0.8) == 11
    assert len(figures_dimensions.plot_influence([heat, heat], [field, field]).axes) == 2
