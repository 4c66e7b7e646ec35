import pytest

from effnet_lib.train import make_config
from effnet_lib.train.progressive import TABLE_6, Stage, code_rule, make_stages, paper_rule, stage_at


def test_sizes_of_v2_s_by_either_rule():
    """Paper: Algorithm 1 with Table 6. Code: 128 + (300 − 128)·(i + 1) / 4, cut off."""
    settings = {"variant": "v2_s", "magnitude": 15.0}
    paper = make_stages(make_config("paper", {**settings, "progressive": "paper"}), 300, 0.3)
    code = make_stages(make_config("paper", {**settings, "progressive": "code"}), 300, 0.3)
    assert [s.resolution for s in paper] == [128, 185, 243, 300]
    assert [s.resolution for s in code] == [171, 214, 257, 300]
    assert [s.dropout for s in paper] == pytest.approx([0.1, 0.1 + 0.2 / 3, 0.1 + 0.4 / 3, 0.3])
    assert [s.dropout for s in code] == [0.3] * 4
    assert [s.magnitude for s in paper] == pytest.approx([5, 5 + 10 / 3, 5 + 20 / 3, 15])
    assert [s.magnitude for s in code] == [7.5, 10, 12.5, 15]


@pytest.mark.parametrize("name", TABLE_6)
def test_the_rules_end_where_table_6_does(name):
    for low, high in TABLE_6[name]:
        assert paper_rule(low, high, 0, 4) == low
        assert paper_rule(low, high, 3, 4) == pytest.approx(high)
        assert code_rule(low, high, 3, 4) == pytest.approx(high)


def test_mixup_grows_from_0():
    stages = make_stages(make_config("paper", {"progressive": "paper", "mixup": 0.5}), 380, 0.5)
    assert [s.mixup for s in stages] == pytest.approx([0, 0.5 / 3, 1 / 3, 0.5])


def test_without_it_there_is_one_stage():
    config = make_config("cifar", {"mixup": 0.2})
    assert make_stages(config, 32, 0.2) == [Stage(32, 5.0, 0.2, 0.2)]


def test_images_smaller_than_the_first_size_stay_small():
    sizes = [s.resolution for s in make_stages(make_config("cifar", {"progressive": "paper"}), 32, 0.2)]
    assert sizes == [32] * 4


def test_stages_are_equally_long():
    stages = [Stage(size, 5, 0.1, 0) for size in (1, 2, 3, 4)]
    assert [stage_at(stages, e, 350).resolution for e in (0, 87, 88, 349)] == [1, 1, 2, 4]
