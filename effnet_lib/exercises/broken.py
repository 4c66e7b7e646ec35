"""A broken EfficientNet-B0 to mend, line by line, as chapter 5 does.

:data:`BROKEN` is a program as text: it runs at φ = 0 and looks right, and thirteen things in it
are wrong, mistakes that published reimplementations make. Mend it with diffs and let the
counts say how far you are:

    >>> sum(weight.numel() for weight in BROKEN.build().parameters())
    2010032
"""

import re
import types

_SOURCE = '''\
import math
import torch
from torch import nn

DROP_RATE = 0.2

# Stages 2 to 8
KERNEL = [3, 3, 5, 3, 5, 5, 3]
EXPAND = [32, 16, 24, 40, 80, 112, 192]
CHANNELS = [16, 24, 40, 80, 112, 192, 320]
SE_RATIO = [0.25, 0, 0.25, 0.25, 0.25, 0.25, 0.25]
STRIDE = [1, 2, 2, 2, 1, 2, 1]
LAYERS = [1, 2, 2, 3, 3, 4, 1]


def conv(c_in, c_out, kernel=1, stride=1, groups=1, activation=True):
    layers = [
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2,
                  groups=groups, bias=False),
        nn.BatchNorm2d(c_out),
    ]
    if activation:
        layers.append(nn.SiLU())
    return nn.Sequential(*layers)


class Gate(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        squeezed = channels // reduction
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.SiLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return x * self.gate(x)


class Block(nn.Module):
    def __init__(self, c_in, c_out, inner, kernel, stride, se_ratio, rate):
        super().__init__()
        self.expand = nn.Identity()
        if inner != c_in:
            self.expand = conv(c_in, inner)
        self.depthwise = conv(inner, inner, kernel, stride, groups=inner)
        self.se = nn.Identity()
        if se_ratio:
            self.se = Gate(inner, int(inner * se_ratio))
        self.project = conv(inner, c_out, activation=False)
        self.has_skip = stride == 1 and c_in == c_out
        self.drop_rate = rate

    def forward(self, x):
        branch = self.project(self.se(self.depthwise(self.expand(x))))
        if not self.has_skip:
            return branch
        if self.training and self.drop_rate > 0:
            keep = torch.rand_like(x[:, :1, :1, :1]) >= self.drop_rate
            x = x * keep
        return x + branch


class Network(nn.Module):
    def __init__(self, phi=0, num_classes=1000):
        super().__init__()
        depth, width, resolution = 1.2**phi, 1.1**phi, 1.15**phi
        stem, head = int(32 * width), round(1280 * width)
        layers = [max(1, round(count * depth)) for count in LAYERS]
        self.stem = conv(3, stem, 3, 2)
        blocks, c_in = [], 32
        for stage, count in enumerate(layers):
            c_out = round(CHANNELS[stage] * width)
            for i in range(count):
                expanded = round(EXPAND[stage] * width)
                stride = STRIDE[stage] if i == 0 else 1
                rate = DROP_RATE * len(blocks) / sum(layers)
                blocks.append(Block(
                    c_in, c_out, expanded, KERNEL[stage], stride,
                    SE_RATIO[stage], rate))
                c_in = c_out
        self.blocks = nn.Sequential(*blocks)
        self.head = conv(c_in, head)
        self.classifier = nn.Linear(head, num_classes)

    def forward(self, x):
        pooled = self.head(self.blocks(self.stem(x))).mean((2, 3))
        return self.classifier(pooled)
'''


class Program:
    """A Python program as text, to be read, mended and built. Nothing is changed in place.

    Its representation is its source. Programs are equal if their text is.
    """

    def __init__(self, source: str):
        self.source = source

    def __repr__(self) -> str:
        return self.source.rstrip()

    def __eq__(self, other) -> bool:
        return isinstance(other, Program) and self.source == other.source

    def __hash__(self) -> int:
        return hash(self.source)

    def part(self, name: str) -> "Program":
        """The function or class of that name; ``""`` for what stands before the first.

        Raises:
            ValueError: there is none.
        """
        if name == "":
            return Program(re.split(r"\n\n\n", self.source)[0] + "\n")
        found = re.search(rf"^(?:def|class) {re.escape(name)}\b.*?(?=\n\n\n|\Z)", self.source, re.M | re.S)
        if not found:
            names = re.findall(r"^(?:def|class) (\w+)", self.source, re.M)
            raise ValueError(f"the program has no part {name!r}: there are {', '.join(names)}")
        return Program(found[0] + "\n")

    def mend(self, diff: str, undo: bool = False) -> "Program":
        """The program with ``diff`` applied, or with ``undo`` taken back.

        Args:
            diff: hunks, separated by empty lines. A line starts with ``-`` (goes), ``+``
                (comes) or a blank (stays); indentation counts, after that character. The lines
                that go and stay must stand together, and exactly once, in the program.

        Raises:
            ValueError: a hunk is malformed, or its lines do not stand in the program exactly once.
        """
        goes, comes = ("+", "-") if undo else ("-", "+")
        source = "\n" + self.source
        for hunk in re.split(r"\n[ \t]*\n", diff.strip("\n")):
            lines = hunk.split("\n")
            if wrong := [line for line in lines if line[:1] not in ("-", "+", " ")]:
                raise ValueError(f"a line of a diff starts with '-', '+' or a blank, got {wrong[0]!r}")
            old = "".join(f"\n{line[1:]}" for line in lines if line[0] in (" ", goes)) + "\n"
            new = "".join(f"\n{line[1:]}" for line in lines if line[0] in (" ", comes)) + "\n"
            if (times := source.count(old)) != 1:
                raise ValueError(f"these lines stand {times} times in the program, not once:{old}")
            source = source.replace(old, new)
        return Program(source[1:])

    def build(self, *arguments, **options):
        """Run the program and make its ``Network(*arguments, **options)``, a torch module."""
        module = types.ModuleType("mended")
        exec(compile(self.source, "<mended program>", "exec"), module.__dict__)
        return module.Network(*arguments, **options)


BROKEN = Program(_SOURCE)
