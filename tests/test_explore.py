import json
import re

import pytest

from effnet_lib import compound_scaling, count_cost, get_variant, phi_explorer, scale_variant
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
