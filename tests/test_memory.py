"""The memory of a training step in closed form, against the peak that PyTorch's allocator records."""

from dataclasses import fields, replace

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from effnet_lib import TrainingMemory, build_model, get_variant, largest_batch, scale_variant, training_memory
from effnet_lib.train import make_config, make_ema
from effnet_lib.train.optim import make_optimizer


def measured(variant, batch, size, precision="fp32", optimizer="sgd", checkpointing=False, frozen=False, classes=100) -> int:
    """Peak of the second training step in bytes: what is there before it, and what it allocates."""
    model = build_model(variant, classes, gradient_checkpointing=checkpointing)
    ema = make_ema(model, 0.99)
    update = make_optimizer(model, make_config("cifar", {"optimizer": optimizer}))
    images, labels = torch.randn(batch, 3, size, size), torch.zeros(batch, dtype=torch.long)
    if frozen:
        for part in (model.stem, model.stages, model.head):
            part.requires_grad_(False).eval()

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model(images)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        update.step()
        update.zero_grad()
        ema.update_parameters(model)

    step()
    state = [value for values in update.state.values() for value in values.values() if isinstance(value, torch.Tensor)]
    there = sum(t.untyped_storage().nbytes() for t in (*model.state_dict().values(), *ema.state_dict().values(), *state, images))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        step()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return there + peak


RELU = replace(scale_variant(-4), activation="relu")


@pytest.mark.parametrize(
    "variant, batch, size, options",
    [
        ("b0", 1, 64, {}),
        ("b0", 6, 96, {}),
        (scale_variant(-4), 16, 128, {}),
        (scale_variant(-4), 16, 128, {"checkpointing": True}),
        (scale_variant(-4), 16, 128, {"precision": "bf16"}),
        (scale_variant(-4), 16, 128, {"precision": "bf16", "checkpointing": True}),
        (scale_variant(-4, "v2_b0"), 8, 96, {}),
        (scale_variant(-4, "v2_b0"), 8, 96, {"checkpointing": True}),
        (scale_variant(-4, "lite0"), 8, 96, {}),
        (scale_variant(-4, "lite0"), 8, 96, {"checkpointing": True}),
        (RELU, 8, 96, {}),
        (scale_variant(-4).with_output_stride(8), 8, 32, {}),
        (scale_variant(-4), 8, 64, {"frozen": True, "classes": 1000}),
        (scale_variant(-4), 1, 64, {"optimizer": "adamw", "classes": 1000}),
        (scale_variant(-4), 1, 64, {"optimizer": "rmsprop_tf", "classes": 1000}),
    ],
)
def test_within_15_percent_of_the_real_peak(variant, batch, size, options):
    counted = training_memory(
        variant, batch, size, num_classes=options.get("classes", 100), precision=options.get("precision", "fp32"),
        optimizer=options.get("optimizer", "sgd"), gradient_checkpointing=options.get("checkpointing", False),
        frozen_backbone=options.get("frozen", False),
    )  # fmt: skip
    assert counted.total == pytest.approx(measured(variant, batch, size, **options), rel=0.15)


def test_parts_add_up_and_print():
    memory = training_memory("b0", 2, 64)
    assert memory.total == sum(getattr(memory, field.name) for field in fields(TrainingMemory))
    lines = str(memory).splitlines()
    assert [line.split()[0] for line in lines] == [*(field.name for field in fields(TrainingMemory)), "total"]
    assert lines[-1].split()[1:] == [f"{memory.total / 1e6:,.1f}", "MB"]


def test_what_changes_it():
    base = training_memory("b0", 32)
    assert training_memory("b0", 64).activations == 2 * base.activations
    assert training_memory("b0", 32, ema=False).total == base.total - base.ema
    assert training_memory("b0", 32, optimizer=None).optimizer == 0
    assert training_memory("b0", 32, optimizer="adamw").optimizer == 2 * base.optimizer
    assert training_memory("b0", 32, num_classes=0).parameters == base.parameters - 4 * 1281 * 1000
    half, less = (training_memory("b0", 32, **o) for o in ({"precision": "bf16"}, {"gradient_checkpointing": True}))
    assert half.activations < 0.6 * base.activations and less.activations < 0.3 * base.activations
    assert training_memory("v2_s", 1) == training_memory("v2_s", 1, get_variant("v2_s").train_resolution)


@pytest.mark.parametrize("options", [{}, {"gradient_checkpointing": True}, {"precision": "fp16", "num_classes": 10}])
def test_the_largest_batch_fits_and_the_next_does_not(options):
    batch = largest_batch("b1", 2 * 10**9, 160, **options)
    assert training_memory("b1", batch, 160, **options).total <= 2 * 10**9 < training_memory("b1", batch + 1, 160, **options).total
    assert largest_batch("b1", 10**6) == 0


@pytest.mark.parametrize(
    "arguments, options, error, message",
    [
        (("b0", 0), {}, ValueError, "batch_size must be at least 1"),
        (("b0", 2.0), {}, TypeError, "batch_size must be an integer"),
        (("b99", 2), {}, ValueError, "unknown variant"),
        (("b0", 2, 31), {}, ValueError, "resolution must be at least 32"),
        (("b0", 2), {"precision": "int8"}, ValueError, "precision must be one of 'fp32', 'bf16', 'fp16', got 'int8'"),
        (("b0", 2), {"optimizer": "lion"}, ValueError, "optimizer must be one of 'sgd', 'rmsprop_tf', 'adamw', None"),
        (("b0", 2), {"num_classes": -1}, ValueError, "num_classes"),
        (("b0", 2), {"in_channels": 0}, ValueError, "in_channels"),
    ],
)
def test_bad_arguments(arguments, options, error, message):
    with pytest.raises(error, match=message):
        training_memory(*arguments, **options)


def test_no_memory():
    with pytest.raises(ValueError, match="memory must be at least 1"):
        largest_batch("b0", 0)
