"""The corrections: every claim that the chapters meet is there, with its verdict, number and figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from effnet_book.corrections import wrong_with

from effnet_lib import (
    compound_scaling,
    count_cost,
    get_variant,
    list_accuracies,
    recorded,
    round_channels,
    scale_variant,
)
from effnet_lib.explore.family import measured_times

ROOT = Path(__file__).resolve().parents[2]
#: Each claim's verdict: right, wrong, imprecise, unsupported, inconsistent, or n/a.
CLAIMS = json.loads((ROOT / "tests" / "claims.json").read_text("utf-8"))
GROUPS = yaml.safe_load((ROOT / "appendices" / "corrections.yml").read_text("utf-8"))
ROWS = {number: row for rows in GROUPS.values() for row in rows for number in row["ids"]}

def test_claims_are_judged():
    assert list(CLAIMS) == [f"C{number:02}" for number in range(1, 187)]
    assert set(CLAIMS.values()) == {"right", "wrong", "imprecise", "unsupported", "inconsistent", "n/a"}


def test_no_claim_that_needs_it_is_left_uncorrected():
    needed = [number for number, verdict in CLAIMS.items() if verdict not in ("right", "n/a")]
    assert len(needed) > 60
    assert [number for number in needed if number not in ROWS] == []


def test_nothing_that_is_right_is_corrected():
    assert [number for number in ROWS if CLAIMS[number] in ("right", "n/a")] == []
    assert sum(len(row["ids"]) for rows in GROUPS.values() for row in rows) == len(ROWS)  # none twice


@pytest.mark.parametrize("number", ROWS)
def test_a_verdict_is_that_of_the_claim(number):
    row = ROWS[number]
    verdicts = {CLAIMS[one] for one in row["ids"]}
    assert row["verdict"] == "wrong" if "wrong" in verdicts else row["verdict"] in verdicts
    assert wrong_with(row) is None


def test_every_row_is_on_the_page_with_its_anchor(book):
    page = BeautifulSoup((book / "appendices" / "corrections.html").read_text("utf-8"), "html.parser")
    for number, row in ROWS.items():
        anchor = page.find(id=number)
        box = anchor if "correction" in anchor.get("class", ()) else anchor.find_next(class_="correction")
        box = anchor.find_parent(class_="correction") or box
        assert box.select_one(".verdict").text == row["verdict"]
        assert box.select_one(".claim").text and box.select_one(".truth").text and box.select_one(".source").text
        if row["see"]:
            assert len(box.select("a.section")) >= len(row["see"])
        assert len(box.select("a.cell-link")) == len(row.get("cells", ()))
    assert len(page.select(".correction")) == sum(map(len, GROUPS.values()))


def test_what_is_wrong_with_a_row_is_said():
    row = {"ids": ["C12"], "verdict": "wrong", "claim": "a", "truth": "b", "source": "c", "see": ["d"]}
    assert wrong_with(row) is None
    assert "claim is missing" in wrong_with({**row, "claim": None})
    assert "unknown field: sea" in wrong_with({**row, "sea": []})
    assert "verdict is 'false'" in wrong_with({**row, "verdict": "false"})
    assert "not like C12" in wrong_with({**row, "ids": ["12"]})
    assert "names no section" in wrong_with({**row, "see": []})
    assert wrong_with({**row, "see": [], "later": ["soon"]}) is None


# Figures ---------------------------------------------------------------------------------


def squeezed_from_the_expanded_channels(name: str) -> int:
    """Parameters of a network whose squeeze channels are a quarter of the expanded ones."""
    variant, total = get_variant(name), count_cost(name).parameters
    channels = variant.stem_channels
    for stage in variant.stages:
        for _ in range(stage.layers):
            width = channels * stage.expand_ratio
            right, wrong = stage.squeeze_channels(channels), int(width * stage.se_ratio)
            total += (wrong - right) * (2 * width + 1)
            channels = stage.channels
    return total


def relative(name: str) -> float:
    """The time of a network as built, in yardsticks of the record."""
    (row,) = [r for r in recorded("latency-xeon-one-thread")["networks"] if (r["name"], r["way"]) == (name, "as built")]
    return row["seconds"] / row["yardstick_seconds"]


def figures() -> list[tuple[str, str]]:
    base, one = count_cost("b0"), scale_variant(1)
    b0, b7 = get_variant("b0"), get_variant("b7")
    firsts, repeats, channels = [], [], b0.stem_channels
    for stage in b0.stages:
        firsts.append(channels * stage.expand_ratio)
        repeats += [stage.squeeze_channels(channels)] + [stage.squeeze_channels(stage.channels)] * (stage.layers - 1)
        channels = stage.channels
    settings = [get_variant(f"b{index}") for index in (1, 2, 3)]
    return [
        ("C43", "1.2 for depth, 1.1 for width and 1.15 for resolution"),
        ("C93", f"by {compound_scaling(1).multiply_adds:.2f}. Counted"),
        ("C93", f"them by {count_cost(one).multiply_adds / base.multiply_adds:.2f}."),
        ("C91", f"by up to {81.1 - 78.9:.1f} points"),
        ("C97", " ".join(f"{v.depth} and {v.width:.1f} for B{i}," for i, v in enumerate(settings, 1)).strip(",")),
        ("C97", "{}, {} and {} pixels".format(*(v.resolution for v in settings))),
        ("C75", f"from {b0.dropout} to {b7.dropout}"),
        ("C74", ", ".join(str(get_variant(f"b{index}").published.top1) for index in range(8))),
        ("C19", f"{round(b7.published.parameters / 1e6)} million against 60"),
        ("C110", f"{base.parameters:,} parameters and {base.multiply_adds:,} multiply-adds"),
        ("C24", f"{b0.stem_stride} in the stem and {' '.join(str(stage.stride) for stage in b0.stages)} in"),
        ("C139", f"from {firsts[1]} channels in the first block of stage 3 to {firsts[-1]:,} in stage 8"),
        ("C146", f"makes {one.layers} blocks instead of {sum(round(s.layers * 1.2) for s in b0.stages)}"),
        ("C67", f"{squeezed_from_the_expanded_channels('b0'):,} parameters instead of {base.parameters:,}"),
        ("C171", f"{get_variant('v2_b0').published.top1} %, without"),
        ("C173", f"of which {139 / 54:.1f} times are the recipe"),
        ("C176", f"L2 at {get_variant('l2').published.top1} with NoisyStudent"),
        ("C176", f"V2-L has {get_variant('v2_l').published.top1} %"),
        ("C164", f"takes {37.746 / 4.089:.1f} times the multiply-adds"),
        ("C164", f"about {relative('b7') / relative('resnet50'):.0f} times as long"),
        ("C166", f"has {1 - 0.217 / 0.386:.0%} fewer".replace("%", " %")),
        ("C126", f"{', '.join(map(str, repeats[:5]))} and so on up to {max(repeats)} channels"),
    ]


@pytest.mark.parametrize(("number", "text"), figures())
def test_a_figure_is_counted(number, text):
    assert text in ROWS[number]["truth"]


def test_statements_that_a_count_can_settle():
    one, b1, b2 = scale_variant(1), get_variant("b1"), get_variant("b2")
    assert (one.stages, one.head_channels) == (b2.stages, b2.head_channels)  # C13
    assert b1.width == 1.0 and b1.layers == b2.layers  # C46, C39
    resnet50, large = (list_accuracies(name)[0].multiply_adds for name in ("resnet50", "mobilenet_v3_large"))
    assert round(count_cost("b7").multiply_adds / resnet50) == 9  # C164
    assert round(100 - 100 * large / count_cost("b0").multiply_adds) == 44  # C166
    times = {name: seconds for (name, way), (_, seconds) in measured_times().items() if way == "as built"}
    assert 12.5 < times["b7"] / times["resnet50"] < 14 and times["mobilenet_v3_large"] < times["b0"]
    rates = [list_accuracies(name)[0].multiply_adds / seconds for name, seconds in times.items()]
    assert max(rates) > 4 * min(rates)  # C163
    assert count_cost("b7").multiply_adds > 3 * 11.514e9  # C19: ResNet-152, as torchvision states it
    assert all(stage.se_ratio == 0.25 for stage in get_variant("b0").stages)  # C140
    assert round_channels(32, 1.1) != int(32 * 1.1)  # C145
    order = ["mobilenet_v3_large", "b0", "resnet50", "b7"]
    assert sorted(order, key=relative) == order  # C163, C166
