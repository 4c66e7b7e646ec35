import pytest

from effnet_lib import count_cost, get_variant
from effnet_lib.train import all_experiments, make_config
from effnet_lib.train.progressive import (
    RELEASED_CODE,
    RULES,
    TABLE_6,
    Stage,
    code_rule,
    make_stages,
    paper_rule,
    progressive_stages,
    stage_at,
    training_cost,
)


def test_sizes_of_v2_s_by_either_rule():
    """Paper: Algorithm 1 with Table 6. Code: 128 + (300 − 128)·(i + 1) / 4, cut off; RandAugment as in the paper."""
    settings = {"variant": "v2_s", "magnitude": 15.0}
    paper = make_stages(make_config("paper", {**settings, "progressive": "paper"}), 300, 0.3)
    code = make_stages(make_config("paper", {**settings, "progressive": "code"}), 300, 0.3)
    assert [s.resolution for s in paper] == [128, 185, 243, 300]
    assert [s.resolution for s in code] == [171, 214, 257, 300]
    assert [s.dropout for s in paper] == pytest.approx([0.1, 0.1 + 0.2 / 3, 0.1 + 0.4 / 3, 0.3])
    assert [s.dropout for s in code] == [0.3] * 4
    assert [s.magnitude for s in paper] == pytest.approx([5, 5 + 10 / 3, 5 + 20 / 3, 15])
    assert [s.magnitude for s in code] == [s.magnitude for s in paper]  # np.linspace(5, ram, stages)


@pytest.mark.parametrize("name", TABLE_6)
def test_the_rules_end_where_table_6_does(name):
    for low, high in TABLE_6[name]:
        assert paper_rule(low, high, 0, 4) == low
        assert paper_rule(low, high, 3, 4) == pytest.approx(high)
        assert code_rule(low, high, 3, 4) == pytest.approx(high)


def test_mixup_grows_from_0():
    stages = make_stages(make_config("paper", {"progressive": "paper", "mixup": 0.5}), 380, 0.5)
    assert [s.mixup for s in stages] == pytest.approx([0, 0.5 / 3, 1 / 3, 0.5])


def test_cutmix_grows_in_the_code_only():
    ramps = {rule: make_stages(make_config("cifar", {"progressive": rule}), 32, 0.2) for rule in RULES}
    assert [s.cutmix for s in ramps["paper"]] == [1.0] * 4
    assert [s.cutmix for s in ramps["code"]] == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_the_image_alone_can_grow_to_compare():
    both = [make_stages(make_config("paper", {"progressive": p, "magnitude": 15.0, "mixup": 0.2}), 300, 0.3) for p in ("paper", "size")]
    assert [s.resolution for s in both[1]] == [s.resolution for s in both[0]] == [128, 185, 243, 300]
    assert {(s.magnitude, s.dropout, s.mixup, s.cutmix) for s in both[1]} == {(15.0, 0.3, 0.2, 0.0)}
    ends = [[getattr(s[-1], name) for name in ("magnitude", "dropout", "mixup", "cutmix")] for s in both]
    assert ends[1] == pytest.approx(ends[0])


def test_in_the_experiment_everything_grows_that_should():
    arms = all_experiments()["progressive"]
    stages = {arm: make_stages(arms.config(arm, 0, "cifar10"), 32, 0.2) for arm in arms.arms}
    assert list(stages) == ["fixed", "size", "paper", "code"]
    for arm, rows in stages.items():
        assert (rows[0].resolution < rows[-1].resolution) == (arm != "fixed")
        assert (rows[0].magnitude < rows[-1].magnitude) == (arm in ("paper", "code"))
        assert rows[-1] == stages["fixed"][0]


@pytest.mark.parametrize("name", TABLE_6)
def test_the_authors_stages(name):
    """From the limits of Table 6 and of the code, by the code's own lines (main.py)."""
    for rule, table in (("paper", TABLE_6), ("code", RELEASED_CODE)):
        (low, size), (weak, magnitude), dropout, (_, mixup) = table[name]
        stages = progressive_stages(name, rule)
        assert len(stages) == 4 and stages[-1].resolution == size
        assert [s.magnitude for s in stages] == pytest.approx([weak + (magnitude - weak) * i / 3 for i in range(4)])
        assert [s.mixup for s in stages] == pytest.approx([mixup * i / 3 for i in range(4)])
        assert (stages[0].dropout, stages[-1].dropout) == pytest.approx(dropout)
    for i, stage in enumerate(progressive_stages(name, "code")):
        assert stage.resolution == int(low + (size - low) * float(i + 1) / 4.0)
        assert stage.dropout == get_variant(name).dropout and stage.cutmix == stage.mixup
    assert get_variant(name).train_resolution == RELEASED_CODE[name][0][1]


def test_the_stages_of_a_recipe_are_the_authors():
    """A run by the ``paper`` recipe with Table 6 as its settings goes through the same stages."""
    for name in TABLE_6:
        (low, size), (_, magnitude), (_, dropout), (_, mixup) = TABLE_6[name]
        settings = {"variant": name, "progressive": "paper", "magnitude": magnitude, "mixup": mixup, "min_resolution": low}
        assert make_stages(make_config("paper", settings), size, dropout) == progressive_stages(name)


def test_other_sizes_and_numbers_of_stages():
    assert [s.resolution for s in progressive_stages("v2_s", stages=1)] == [300]
    assert [s.resolution for s in progressive_stages("V2-S", stages=3, first_resolution=160)] == [160, 230, 300]
    assert [s.resolution for s in progressive_stages("v2_s", last_resolution=256)] == [128, 171, 213, 256]
    assert {s.resolution for s in progressive_stages("v2_s", first_resolution=300)} == {300}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(variant="b0"), "no progressive schedule for 'b0'.*v2_s, v2_m, v2_l"),
        (dict(rule="tutorial"), "'paper', 'code', got 'tutorial'"),
        (dict(stages=0), "stages must be"),
        (dict(first_resolution=400), "first_resolution = 400 is above last_resolution = 300"),
        (dict(last_resolution=8), "last_resolution must be"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        progressive_stages(**arguments)


def test_what_a_run_computes():
    """By hand: epochs 0 to 2 at 128 pixels, 3 and 4 at 300; the last size throughout costs more."""
    stages = [Stage(128, 5, 0.1, 0), Stage(300, 15, 0.3, 0)]
    small, large = (count_cost("v2_s", size).multiply_adds for size in (128, 300))
    assert training_cost("v2_s", stages, 5) == 3 * small + 2 * large
    assert training_cost("v2_s", stages[1:], 5) == 5 * large
    for nothing in (dict(stages=[]), dict(stages=stages, epochs=0)):
        with pytest.raises(ValueError):
            training_cost("v2_s", **nothing)


def test_without_it_there_is_one_stage():
    config = make_config("cifar", {"mixup": 0.2})
    assert make_stages(config, 32, 0.2) == [Stage(32, 5.0, 0.2, 0.2, config.cutmix)]


def test_images_smaller_than_the_first_size_stay_small():
    sizes = [s.resolution for s in make_stages(make_config("cifar", {"progressive": "paper"}), 32, 0.2)]
    assert sizes == [32] * 4


def test_stages_are_equally_long():
    stages = [Stage(size, 5, 0.1, 0) for size in (1, 2, 3, 4)]
    assert [stage_at(stages, e, 350).resolution for e in (0, 87, 88, 349)] == [1, 1, 2, 4]
