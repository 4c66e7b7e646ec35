import pytest

from effnet_lib.train import RECIPES, ConfigError, make_config
from effnet_lib.train.config import config_from_json, count_cores, make_variant

WRONG = [
    ({"epochs": "0"}, "epochs must be at least 1, got 0"),
    ({"batch_size": "-4"}, "batch_size must be at least 1, got -4"),
    ({"lr": "0"}, "lr must be above 0"),
    ({"lr": "-1"}, "lr must be above 0"),
    ({"lr": "nan"}, "lr must be a number, got nan"),
    ({"lr": "inf"}, "finite"),
    ({"lr": "fast"}, "lr must be a number, got 'fast'"),
    ({"epochs": "2.5"}, "epochs must be an integer, got '2.5'"),
    ({"flip": "maybe"}, "flip must be true or false"),
    ({"optimizer": "sdg"}, "did you mean sgd"),
    ({"warmup": "1"}, "did you mean warmup_epochs"),
    ({"recipe": "cifar"}, "unknown field 'recipe'"),
    ({"variant": "b99"}, "unknown variant 'b99'"),
    ({"variant": "phi=big"}, "after phi= a number is expected"),
    ({"variant": "phi=999"}, "must lie between"),
    ({"workers": "-1"}, "workers must be at least 0"),
    ({"warmup_epochs": "40", "epochs": "30"}, "longer than the run"),
    ({"accumulate": "3", "batch_size": "64"}, "must divide"),
    ({"label_smoothing": "1.5"}, "between 0 and 0.99"),
    ({"validation": "0"}, "validation must be between"),
    ({"seed": "-1"}, "seed must be between"),
    ({"seed": True}, "seed must be an integer, got True"),
    ({"seed": 10**400}, "seed must be an integer of 64 bits"),
    ({"lr_batch": "1" + "0" * 400}, "lr_batch must be an integer of 64 bits"),
    ({"clip_norm": "inf"}, "clip_norm must be at least 1e-06 and finite, got inf"),
    ({"gradient_checkpointing": "maybe"}, "gradient_checkpointing must be true or false"),
    ({"gradient_checkpointing": "true", "variant": "resnet18"}, "gradient_checkpointing is for networks of this library"),
    ({"data": "/tmp/\udcff"}, r"data must be text, got '/tmp/\\udcff'"),
]


@pytest.mark.parametrize("changes, message", WRONG)
def test_refuses(changes, message):
    with pytest.raises(ConfigError, match=message):
        make_config("digits", changes)


def test_unknown_recipe_names_the_near_one():
    with pytest.raises(ConfigError, match="did you mean cifar"):
        make_config("cifr")
    with pytest.raises(ConfigError, match="known: digits, cifar, paper, fine_tune"):
        make_config("xyzzy")


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_saving(name):
    config = RECIPES[name]
    assert config.recipe == name
    assert config_from_json(config.to_json()) == config


def test_overriding():
    config = make_config("cifar", {"clip_norm": "1.5", "compile": "true", "resolution": "none", "lr": 1})
    assert (config.clip_norm, config.compile, config.resolution, config.lr) == (1.5, True, None, 1)


def test_differences_name_the_fields_that_matter():
    one = make_config("cifar")
    other = make_config("cifar", {"lr": 0.1, "keep": 9, "data": "cifar100", "seed": 2})
    assert one.differences(other) == ["seed was 0, now 2", "lr was 0.4, now 0.1"]


def test_the_paper_recipe_is_the_papers():
    """facts: tensorflow/tpu efficientnet/main.py; arXiv:1905.11946 §5.2."""
    c = make_config("paper")
    assert (c.optimizer, c.lr, c.lr_batch, c.momentum, c.weight_decay) == ("rmsprop_tf", 0.016, 256, 0.9, 1e-5)
    assert (c.schedule, c.decay, c.decay_epochs, c.warmup_epochs) == ("staircase", 0.97, 2.4, 5)
    assert (c.epochs, c.ema_decay, c.label_smoothing) == (350, 0.9999, 0.1)
    assert c.batch_size == 2048 and c.peak_lr == pytest.approx(0.128)
    assert make_config("paper", {"batch_size": 4096}).peak_lr == pytest.approx(0.256)  # the paper's own, §5.2


def test_variants_by_phi():
    assert make_variant("phi=-3,base=v2_b0").family == "v2"
    assert make_variant("B3").name == "b3"
    with pytest.raises(ConfigError, match="did you mean"):
        make_variant("phi=1,base=b00")


def test_text_that_is_no_configuration():
    for text in ("", "[]", "{}", '{"recipe": 1}', '{"no": "such"}'):
        with pytest.raises(ConfigError):
            config_from_json(text)


def test_cores():
    assert count_cores() >= 1
    assert make_config("cifar", {"workers": count_cores()}).workers == count_cores()
