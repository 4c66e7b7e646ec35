import math

import pytest
import torch

from effnet_lib import build_model, check, count_cost, scale_variant
from effnet_lib.exercises import EXERCISES
from effnet_lib.exercises.exercise import Exercise, judge


def said(capsys, exercise, answer):
    check(exercise, answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("exercise", EXERCISES)
def test_its_own_answer_is_right_and_no_answer_is_not_an_error(capsys, exercise):
    entry = EXERCISES[exercise]
    answer = entry.expected if entry.inputs else entry.expected()
    assert said(capsys, exercise, answer) == f"Exercise {exercise}: right."
    for nothing in (None, ..., (lambda *_: ...) if entry.inputs else ...):
        assert said(capsys, exercise, nothing) == f"Exercise {exercise}: not answered yet."


@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("wrong", [0, -1.5, "text", (1,), True, [3, 4, 5], math.nan])
def test_a_wrong_answer_is_told_with_what_was_expected_and_a_hint(capsys, exercise, wrong):
    entry = EXERCISES[exercise]
    text = said(capsys, exercise, (lambda *_: wrong) if entry.inputs else wrong)
    assert "got " in text and "expected " in text and "\nHint: " in text


def test_answers_by_hand(capsys):
    assert said(capsys, "2.1", (0.8333, 0.9091, 0.8696)).endswith("right.")
    assert said(capsys, "2.1", [0.8333, 0.9091, 0.8696]).endswith("right.")
    assert "got (1.2, 1.1, 1.15), expected (0.833333, 0.909091, 0.869565)" in said(capsys, "2.1", (1.2, 1.1, 1.15))
    assert said(capsys, "2.4", (7.026, 8.272, 7.861)).endswith("right.")
    assert said(capsys, "2.7", 107).endswith("right.")


def test_a_function_that_raises_is_told(capsys):
    text = said(capsys, "2.2", lambda factor: 1 / 0)
    assert "raised ZeroDivisionError" in text and "Hint" in text
    assert "a function was expected, got 2.1" in said(capsys, "2.2", 2.1)


def test_the_budget_is_kept():
    phi = EXERCISES["2.5"].expected(1e9)
    assert count_cost(scale_variant(phi)).multiply_adds <= 1e9
    assert count_cost(scale_variant(phi + 0.1)).multiply_adds > 1e9


def test_unknown_exercise():
    with pytest.raises(ValueError, match="'9.9'.*2.1"):
        check("9.9", 1)


def test_tensors_are_compared_by_shape_and_value():
    doubling = Exercise(lambda x: 2 * x, "multiply by 2.", inputs=((torch.ones(2, 3),),))
    assert judge(doubling, lambda x: x + x) == "right."
    text = judge(doubling, lambda x: x)
    assert "got a tensor of shape (2, 3): 1, 1, 1, 1, 1, 1 for" in text and "expected a tensor" in text
    assert "(tensor of shape (2, 3))" in text
    for wrong in (lambda x: (2 * x)[0], lambda x: 2.0, lambda x: 2 * x + 1e-3, lambda x: x * math.nan):
        assert "Hint: multiply by 2." in judge(doubling, wrong)


def test_answers_by_hand_to_chapter_4(capsys):
    assert said(capsys, "4.1", (3600, 28 * 28 * 3600, 28 * 28 * 144)).endswith("right.")
    assert "expected ((144, 56), (144, 28), (40, 28))" in said(capsys, "4.3", lambda *a: ((144, 56), (144, 56), (24, 56)))
    assert said(capsys, "4.5", lambda momentum, share: (1 - momentum, {(0.99, 0.5): 69, (0.99, 0.01): 459, (0.9, 0.01): 44}[momentum, share])).endswith("right.")  # fmt: skip
    assert said(capsys, "4.6", torch.tensor([0, 2.5, 3.75, 5])[:, None, None, None].expand(4, 2, 3, 3)).endswith("right.")
    assert "expected a tensor of shape (4, 2, 3, 3)" in said(capsys, "4.6", torch.zeros(4, 1, 1, 1))
    assert said(capsys, "4.8", lambda side: {7: 16, 14: 56, 28: 200}[side]).endswith("right.")


def test_expected_depth_is_that_of_the_built_network():
    for name in ("b0", "b3", "v2_s", "lite0"):
        blocks = [block for stage in build_model(name, stochastic_depth_rate=0.4).stages for block in stage]
        assert EXERCISES["4.7"].expected(name, 0.4) == pytest.approx(sum(1 - block.drop.rate for block in blocks))
