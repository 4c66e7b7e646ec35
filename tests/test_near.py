"""Guesses at what was meant: typing errors are found, other words are not taken for them."""

import dataclasses

import pytest

from effnet_lib import get_variant
from effnet_lib.near import edit_distance, near_names, suggest
from effnet_lib.train import RECIPES, Config, ConfigError, make_config

FIELDS = [field.name for field in dataclasses.fields(Config)]


@pytest.mark.parametrize("typed, meant", [
    ("epoch", "epochs"), ("eopchs", "epochs"), ("epocs", "epochs"), ("epohcs", "epochs"), ("Epochs", "epochs"),
    ("batchsize", "batch_size"), ("batch-size", "batch_size"), ("bacth_size", "batch_size"), ("btach_szie", "batch_size"),
    ("sede", "seed"), ("sed", "seed"), ("seeed", "seed"), ("cropp", "crop"), ("rl", "lr"), ("lrr", "lr"),
    ("optimiser", "optimizer"), ("optmizr", "optimizer"), ("wieghts", "weights"), ("wegihts", "weights"),
    ("wieght_deacy", "weight_decay"), ("label_smothing", "label_smoothing"), ("labelsmoothing", "label_smoothing"),
    ("scheduler", "schedule"), ("mixpu", "mixup"), ("stochastic_dept_rate", "stochastic_depth_rate"),
    ("warmup", "warmup_epochs"), ("stochastic_depth", "stochastic_depth_rate"), ("checkpoint", "checkpoint_every"),
    ("gradient_checkpoint", "gradient_checkpointing"),
])  # fmt: skip
def test_a_misspelled_field_is_found(typed, meant):
    assert near_names(typed, FIELDS)[0] == meant
    with pytest.raises(ConfigError, match=f"did you mean {meant}"):
        make_config("digits", {typed: "1"})


@pytest.mark.parametrize("typed, known", [
    ("class_weights", ["weights", "weight_decay"]), ("gradient_checkpointing", ["checkpoint_every", "evaluate_every"]),
    ("pos_weights", ["weights"]), ("pretrained_weights", ["weights"]), ("sampler", ["seed", "stages"]),
    ("learning_rate", FIELDS), ("gamma", FIELDS), ("beta", FIELDS), ("patience", FIELDS), ("nesterov", FIELDS),
    ("pretrained", FIELDS), ("steps", FIELDS), ("size", FIELDS), ("image_size", FIELDS), ("grad_clip", FIELDS),
    ("lr_decay", FIELDS), ("num_epochs", FIELDS), ("betas", FIELDS), ("save_every", FIELDS), ("x", FIELDS), ("", FIELDS),
    ("resnet50", ["b0", "v2_s", "lite0"]), ("lion", ["sgd", "rmsprop_tf", "adamw"]), ("adam", ["sgd", "rmsprop_tf"]),
])  # fmt: skip
def test_another_word_is_no_misspelling(typed, known):
    assert near_names(typed, known) == []
    assert suggest(typed, known) == f"known: {', '.join(known)}"


def test_every_name_is_near_to_itself_with_one_letter_gone():
    for names in (FIELDS, RECIPES, [v for v in ("lite0", "v2_s", "v2_xl")]):
        for name in names:
            if len(name) > 2:
                for i in range(len(name)):
                    assert name in near_names(name[:i] + name[i + 1 :], names), (name, i)


def test_variants_by_the_nearest_number():
    with pytest.raises(ValueError, match=r"unknown variant 'b9': did you mean b8 or b7 or b6\?"):
        get_variant("b9")
    with pytest.raises(ValueError, match="unknown variant 'resnet50': known: b0"):
        get_variant("resnet50")


@pytest.mark.parametrize("one, other, distance", [
    ("", "", 0), ("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("abcd", "badc", 2), ("kitten", "sitting", 3),
    ("ca", "abc", 3), ("flip", "flop", 1),
])  # fmt: skip
def test_distance_by_hand(one, other, distance):
    assert edit_distance(one, other) == edit_distance(other, one) == distance
