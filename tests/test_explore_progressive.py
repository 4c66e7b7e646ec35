"""What stands in the progressive-learning explorer is what the library computes."""

import json
import re

import pytest

from effnet_lib import count_cost, progressive_explorer
from effnet_lib.explore.progressive import FIRST, LAST, MOST_STAGES, STRONGEST, mixed_in
from effnet_lib.train.progressive import RULES, TABLE_6, progressive_stages, training_cost


@pytest.fixture(scope="module")
def html():
    return progressive_explorer()._repr_html_()


def test_self_contained_and_the_same_every_time(html):
    assert html == progressive_explorer()._repr_html_()
    code = re.sub(r'<script type="application/json">.*?</script>', "", html, flags=re.S)
    assert set(re.findall(r"https?://[^\s\"'`)]+", code)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href)=\"|@import|url\(|import\(|fetch\(|type=\"module\"", code)
    embedded = re.search(r'<script type="application/json">(.*?)</script>', html, re.S).group(1)
    assert json.loads(embedded) == json.loads(json.dumps(progressive_explorer().data))


def test_the_data_is_the_library():
    data = progressive_explorer().data
    assert [variant["name"] for variant in data["variants"]] == list(TABLE_6)
    for variant in data["variants"]:
        name, costs = variant["name"], variant["costs"]
        assert len(costs) == LAST[1] - FIRST[0] + 1
        for size in range(FIRST[0], LAST[1] + 1, 37):
            assert costs[size - FIRST[0]] == count_cost(name, size).multiply_adds
        for rule in RULES:
            assert [len(rows) for rows in variant["strengths"][rule]] == list(range(1, MOST_STAGES + 1))
            for count, rows in enumerate(variant["strengths"][rule], 1):
                stages = progressive_stages(name, rule, stages=count)
                assert [row[:4] for row in rows] == [[s.magnitude, s.dropout, s.mixup, s.cutmix] for s in stages]
            low, high = variant["sizes"][rule]
            ends = [stage.resolution for stage in progressive_stages(name, rule)]
            assert ends[-1] == high and (rule == "code" or ends[0] == low)
            # the sliders can be set to it
            assert all((size - limits[0]) % limits[2] == 0 for size, limits in ((low, FIRST), (high, LAST)))


def test_the_strongest_levels_are_those_of_the_training():
    augment = pytest.importorskip("effnet_lib.train.augment")
    assert STRONGEST == {name: augment._strongest(name, "rand", 128) for name in STRONGEST}
    drawn = {name for draw in progressive_explorer().data["draws"] for name, _ in draw["operations"]}
    assert drawn == set(STRONGEST)


@pytest.mark.parametrize("alpha", [0.07, 0.2, 0.5, 1.0, 3.0])
def test_the_share_that_mixup_adds(alpha):
    """Against the mean of many draws."""
    numpy = pytest.importorskip("numpy")
    draws = numpy.random.default_rng(0).beta(alpha, alpha, 200_000)
    assert mixed_in(alpha) == pytest.approx(numpy.minimum(draws, 1 - draws).mean(), abs=2e-3)
    assert mixed_in(0) == 0


def test_the_static_tables_are_complete(html):
    static = re.search(r'<div class="effnet-static">(.*?)</effnet-progressive', html, re.S).group(1)
    assert static.count('scope="row"') == 6 * 4 + 6
    for name in TABLE_6:
        for rule in RULES:
            stages = progressive_stages(name, rule)
            spent, fixed = training_cost(name, stages), training_cost(name, stages[-1:])
            assert f"<td>{spent / 1e12:.2f}</td><td>{fixed / 1e12:.2f}</td><td>{spent / fixed:.0%}</td>" in static
            for stage in stages:
                assert f"<td>{stage.resolution}</td>" in static


def test_a_page_of_its_own(tmp_path):
    page = progressive_explorer().save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "notebook" in repr(progressive_explorer())
