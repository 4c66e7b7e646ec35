"""A stage that computes its blocks again in the backward pass changes memory and nothing else."""

import copy

import pytest
import torch
from torch import nn

from effnet_lib import build_model, scale_variant


def step(model, images, autocast=False):
    """Outputs of one training step that leaves its gradients."""
    torch.manual_seed(3)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = model(images)
    nn.functional.cross_entropy(logits.float(), torch.arange(len(images))).backward()
    return logits


def both(name="b0", **options):
    torch.manual_seed(0)
    plain = build_model(scale_variant(-5, name), 5, stochastic_depth_rate=0.6, **options)
    less = copy.deepcopy(plain)
    less.gradient_checkpointing = True
    return plain, less


def assert_alike(plain, less, close=torch.equal):
    for (name, a), b in zip(plain.named_parameters(), less.parameters(), strict=True):
        assert close(a.grad, b.grad), name
    for (name, a), b in zip(plain.named_buffers(), less.buffers(), strict=True):
        assert close(a, b), name  # running statistics and counters of batches, changed once


@pytest.mark.parametrize("name, padding", [("b0", "symmetric"), ("v2_b0", "same"), ("lite0", "same")])
@pytest.mark.parametrize("autocast", [False, True])
def test_same_outputs_gradients_and_statistics(name, padding, autocast):
    plain, less = both(name, padding=padding)
    images = torch.randn(3, 3, 48, 56)
    for _ in range(2):
        assert torch.equal(step(plain, images, autocast), step(less, images, autocast))
    assert_alike(plain, less)
    assert int(less.stages[-1][-1].project[1].num_batches_tracked) == 2


def test_less_is_kept():
    def kept(model):
        numbers = 0

        def pack(tensor):
            nonlocal numbers
            numbers += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(images)
        return numbers

    images = torch.randn(2, 3, 64, 64)
    plain, less = both()
    assert kept(less) < kept(plain) / 3


def test_in_eval_mode_and_with_a_part_frozen():
    plain, less = both()
    images = torch.randn(2, 3, 48, 48)
    for model in (plain, less):
        model.eval()
        model.stem.requires_grad_(False)
        model.stages[0].requires_grad_(False)
        step(model, images)
    for a, b in zip(plain.parameters(), less.parameters(), strict=True):
        assert (a.grad is None and b.grad is None) or torch.equal(a.grad, b.grad)
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), less.buffers(), strict=True))


def test_under_torch_compile():
    plain, less = both(dropout=0.0)
    for model in (plain, less):
        for block in (block for stage in model.stages for block in stage):
            block.drop.rate = 0.0  # a compiled graph draws other random numbers
    images = torch.randn(3, 3, 48, 48)
    step(plain, images)
    torch._dynamo.reset()
    step(torch.compile(less, fullgraph=True, backend="aot_eager"), images)
    assert_alike(plain, less, lambda a, b: torch.allclose(a.float(), b.float(), rtol=1e-3, atol=1e-5))


def test_under_distributed_data_parallel(tmp_path):
    plain, less = both()
    images = torch.randn(3, 3, 48, 48)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        step(nn.parallel.DistributedDataParallel(plain), images)
        step(nn.parallel.DistributedDataParallel(less), images)
    finally:
        torch.distributed.destroy_process_group()
    assert_alike(plain, less)


def test_a_failed_recomputation_leaves_the_statistics():
    _, less = both()
    images = torch.randn(2, 3, 48, 48)
    loss = less(images).sum()
    buffers = [(buffer, buffer.clone()) for buffer in less.buffers()]

    def fail(*_):
        raise KeyboardInterrupt

    handle = less.stages[2][0].project.register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        loss.backward()
    handle.remove()
    for (buffer, before), now in zip(buffers, less.buffers(), strict=True):
        assert now is buffer and torch.equal(now, before)


def test_the_setting():
    model = build_model(scale_variant(-5), 5, gradient_checkpointing=True)
    assert model.gradient_checkpointing and copy.deepcopy(model).gradient_checkpointing
    model.gradient_checkpointing = False
    assert not any(stage.gradient_checkpointing for stage in model.stages)
    with pytest.raises(TypeError, match="must be True or False, got 'yes'"):
        model.gradient_checkpointing = "yes"
