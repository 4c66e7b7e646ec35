"""The broken network of chapter 5: its counts, its mends, and that it ends as the library's own."""

import re
from pathlib import Path

import pytest
import torch

from effnet_lib import build_model, count_cost, scale_variant
from effnet_lib.exercises.broken import BROKEN, Program
from effnet_lib.exercises.chapter_05 import suspicious_counts

CHAPTER = Path(__file__).parents[1] / "chapters" / "05_efficientnet_b0.md"


def repairs() -> dict[str, str]:
    """Every repair of the chapter, by name, in order; from its source, so that they cannot drift apart."""
    return dict(re.findall(r'^repairs\["(.*?)"\] = """\n(.*?)"""', CHAPTER.read_text("utf-8"), re.M | re.S))


REPAIRS = repairs()


def mend_all() -> Program:
    program = BROKEN
    for repair in REPAIRS.values():
        program = program.mend(repair)
    return program


def parameters(program: Program, phi: float = 0) -> int:
    with torch.device("meta"):
        return sum(weight.numel() for weight in program.build(phi).parameters())


def test_the_ladder_of_counts():
    program, ladder = BROKEN, [(parameters(BROKEN), parameters(BROKEN, 1))]
    for repair in REPAIRS.values():
        program = program.mend(repair)
        ladder.append((parameters(program), parameters(program, 1)))
    at_zero = [zero for zero, _ in ladder]
    assert at_zero == [2_010_032, 4_730_544, 4_732_712] + [5_288_548] * 11
    assert ladder[0][1] == 2_378_094
    assert [one for _, one in ladder[6:9]] == [7_289_151, 7_166_444, 9_109_994]
    assert [one for _, one in ladder[8:]] == [count_cost("b2").parameters] * 6


@pytest.mark.parametrize("phi", [-2, 0.5, 3])
def test_mended_it_has_the_counts_of_the_library_at_other_phi(phi):
    assert parameters(mend_all(), phi) == count_cost(scale_variant(phi)).parameters


def test_mended_it_is_the_library_s_network():
    """Fresh weights from the same seed, outputs in eval mode, and outputs while training."""
    torch.manual_seed(0)
    network = mend_all().build()
    torch.manual_seed(0)
    ours = build_model("b0")
    pairs = list(zip(network.parameters(), ours.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    network.load_state_dict(dict(zip(network.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(4, 3, 64, 64)
    for train in (False, True):
        outputs = []
        for each in (network, ours):
            torch.manual_seed(1)
            with torch.no_grad():
                outputs.append(each.train(train)(x))
        assert torch.allclose(*outputs, rtol=1e-5, atol=1e-6)


def test_each_repair_can_be_taken_back_alone_and_changes_something():
    assert len(REPAIRS) == 13
    mended = mend_all()
    for name, repair in REPAIRS.items():
        without = mended.mend(repair, undo=True)
        assert without != mended and without.mend(repair) == mended, name
    program = mended
    for repair in reversed(REPAIRS.values()):
        program = program.mend(repair, undo=True)
    assert program == BROKEN


def test_it_crashes_where_the_chapter_says():
    images = torch.zeros(1, 3, 64, 64)
    assert BROKEN.build().eval()(images).shape == (1, 1000)
    with pytest.raises(RuntimeError, match="35 channels"):
        BROKEN.build(1).eval()(images)
    with pytest.raises(NameError, match="DROP_RATE"):
        Program(BROKEN.source.replace("DROP_RATE = 0.2", "")).build()


def test_its_parts_are_the_whole_program():
    names = ("", "conv", "Gate", "Block", "Network")
    assert "\n\n\n".join(repr(BROKEN.part(name)) for name in names) == repr(BROKEN)
    assert max(map(len, repr(BROKEN).splitlines())) <= 75
    with pytest.raises(ValueError, match="no part 'Blok'.*Block"):
        BROKEN.part("Blok")


@pytest.mark.parametrize(
    "diff, message",
    [
        ("-no such line\n+x", "stand 0 times"),
        ("-        super().__init__()\n", "stand 3 times"),
        ("DROP_RATE = 0.2", "starts with '-', '[+]' or a blank, got 'DROP_RATE = 0.2'"),
    ],
)
def test_a_bad_diff_is_told(diff, message):
    with pytest.raises(ValueError, match=message):
        BROKEN.mend(diff)


def test_suspicious_counts_are_those_of_built_networks():
    """Exercise 5.6, counted on networks instead of in closed form."""
    model = build_model("b0")
    counts = suspicious_counts()
    total = sum(p.numel() for p in model.parameters())
    convs = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.bias is None]
    gates = [[p.numel() for p in block.se.parameters()] for stage in model.stages for block in stage]
    assert counts[1] == total + sum(conv.out_channels for conv in convs)
    assert counts[2] == total - sum(map(sum, gates))
    assert counts[3] == total - sum(gates[1]) - sum(gates[2])
    assert counts[5] == total - sum(p.numel() for p in model.classifier.parameters())
    text = CHAPTER.read_text("utf-8")
    for count in counts.values():
        assert f"{count:,}" in text
