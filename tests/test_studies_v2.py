import json
from dataclasses import replace

import pytest

from effnet_lib import (
    count_cost,
    get_variant,
    progressive_study,
    published_fused_study,
    published_size_study,
    scale_by,
)
from effnet_lib.exercises.chapter_07 import tensorflow_count
from effnet_lib.explore import figures_v2
from effnet_lib.train import ConfigError
from effnet_lib.train.progressive import TABLE_6

#: What the authors' own test expects: google/automl, efficientnetv2/effnetv2_model_test.py.
TENSORFLOW = {
    "b0": 5330564, "b1": 7856232, "b2": 9177562, "b4": 19466816, "b5": 30562520, "b6": 43265136,
    "v2_b0": 7200312, "v2_b1": 8212124, "v2_b2": 10178374, "v2_b3": 14467622,
    "v2_s": 21612360, "v2_m": 54431388, "v2_l": 119027848, "v2_xl": 208896832,
}  # fmt: skip


@pytest.mark.parametrize("name", TENSORFLOW)
def test_parameters_as_tensorflow_counts_them(name):
    assert tensorflow_count(name) == TENSORFLOW[name]


def test_their_b3_is_rounded_as_v2():
    """The V2 code leaves out V1's 10 % rule for V1 too, and B3 is the one of B0 to B6 that it changes."""
    base = replace(get_variant("b0"), round_limit=0.0)
    assert tensorflow_count(scale_by(base, depth=1.4, width=1.2)) == 12314268
    assert tensorflow_count("b3") == 12320528


def test_the_published_figures():
    none, early, more, every = published_fused_study()
    assert [row.fused for row in (none, early, more, every)] == [0, 3, 5, 7]
    assert none.parameters == pytest.approx(count_cost("b4").parameters, rel=0.01)
    assert early.tpu / none.tpu == pytest.approx(1.38, abs=0.01) and early.v100 / none.v100 == pytest.approx(1.39, abs=0.01)
    assert every.tpu < none.tpu and every.v100 > none.v100
    study = published_size_study()
    best = {size: max(rows, key=lambda m: rows[m][0]) for size, rows in study.items()}
    assert best == {128: 5, 192: 10, 300: 15}
    assert best[300] == TABLE_6["v2_s"][1][1]


def write_runs(place):
    from test_studies import made_up

    folder = place / "progressive"
    folder.mkdir()
    for i, schedule in enumerate(("none", "paper")):
        for seed in range(2):
            record = made_up("v2_b0", 32, 1, seed, 0.9 + i / 100 + seed / 1000)
            record["config"]["progressive"] = schedule
            record["wall_time_s"] = 600.0 - 120 * i
            (folder / f"{schedule}-{seed}.json").write_text(json.dumps(record))
    (place / "other.json").write_text(json.dumps(made_up("b0", 32, 7, 0, 0.9)))


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in (*axes.texts, axes._left_title)]


def test_our_own_runs_are_drawn_as_soon_as_there_are_records(tmp_path):
    assert progressive_study(tmp_path) == ()
    alone = figures_v2.plot_size_study(progressive_study(tmp_path))
    assert len(alone.axes) == 1 and "our own runs" not in texts(alone)
    write_runs(tmp_path)
    rows = progressive_study(tmp_path)
    assert [(row.schedule, row.minutes, len(row.runs)) for row in rows] == [("none", 10, 2), ("paper", 8, 2)]
    assert rows[1].accuracy == pytest.approx(91.05)
    both = figures_v2.plot_size_study(rows)
    assert len(both.axes) == 2 and {"our own runs", "one size", "paper’s schedule"} <= set(texts(both))
    with pytest.raises(ConfigError):
        progressive_study(tmp_path / "nowhere")


def test_the_figures_draw_what_is_counted():
    figure = figures_v2.plot_stage_costs()
    lengths = [sum(bar.get_width() for bar in axes.patches if bar.get_y() < -0.5) for axes in figure.axes]
    cost = count_cost("v2_b0", 224)
    assert lengths == pytest.approx([cost.multiply_adds / 1e6, cost.activations / 1e6])


def made_up_timing():
    """A record as benchmarks/fused.py writes it, with figures that nothing has measured."""
    rows = [
        {"channels": c, "side": s, "mode": mode, "block": block, "fused_over_this": c / 100}
        for c, s in ((24, 112), (256, 7)) for mode in ("inference", "training") for block in ("MBConv", "Fused-MBConv")
    ]  # fmt: skip
    limits = {"multiply_adds_per_second": 6e9, "memory_bytes_per_second": 1e9}
    return {"results": rows, "limits": limits, "batch_size": 4}


def test_times_beside_the_roofline():
    record = made_up_timing()
    assert figures_v2.fused_ratios(record, "training") == {(24, 112): 0.24, (256, 7): 2.56}
    lines = {line.get_label(): list(line.get_ydata()) for line in figures_v2.plot_fused_times(record).axes[0].lines}
    assert lines["forwards"] == [0.24, 2.56]
    assert lines["roofline, $b$ = 6.0"] == [figures_v2.fused_roofline(24, 112, 6), figures_v2.fused_roofline(256, 7, 6)]
    # With endless bandwidth the multiply-adds decide, with none the bytes.
    fused, plain = (figures_v2.block_cost(kind, 64, 64, 3, 1, 4, se, resolution=28) for kind, se in (("fused_mbconv", 0), ("mbconv", 16)))
    assert figures_v2.fused_roofline(64, 28, 1e-6) == pytest.approx(fused.multiply_adds / plain.multiply_adds, rel=0.01)
    assert figures_v2.fused_roofline(64, 28, 1e9) == pytest.approx(fused.bytes_moved(4) / plain.bytes_moved(4))
