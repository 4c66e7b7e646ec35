"""The explorer of the families: published accuracy over cost, and which network a budget buys."""

import math
from collections.abc import Sequence

from ..published import IMAGES, Accuracy, list_accuracies
from ..records import recorded
from ..variants import get_variant, list_variants
from .element import Explorer, table

#: The measured times: one image, one thread of a processor.
RECORD = "latency-xeon-one-thread"

#: What a reader calls the networks that are not of this library, and their mark in the picture.
OTHERS = {
    "mobilenet_v3_large": "MobileNetV3-Large",
    "resnet50": "ResNet-50",
    "resnet152": "ResNet-152",
    "gpipe": "GPipe",
}

#: Views: (key, name, what it shows, editions). A network is shown with the first of the editions
#: that it has, and hollow with its own paper's figure if it has none of them.
VIEWS = (
    ("first", "paper, first", "the papers of 2019 to 2021, V1 as in the first version of its paper",
     ("icml2019", "v2", "lite", "mobilenetv3")),
    ("july", "July 2019", "V1's repository in July 2019: AutoAugment, trained to the end",
     ("autoaugment2019",)),
    ("v5", "paper, last", "the papers of 2019 to 2021, V1 as in version 5 of its paper",
     ("v5", "v2", "lite", "mobilenetv3")),
    ("torchvision", "torchvision, first", "the first weights that torchvision released of each network",
     ("torchvision1",)),
    ("newest", "torchvision, newest", "the default weights of torchvision, of its newer recipe where there are such",
     ("torchvision2", "torchvision1")),
    ("advprop", "AdvProp", "V1 trained on adversarial images as well", ("advprop",)),
    ("more", "more images", "trained on more than ImageNet: V1 with NoisyStudent's 130 million pseudo-labeled "
     "images, V2 on ImageNet-21k first", ("noisystudent", "v2_21k")),
)  # fmt: skip

#: Axes: (key, name, unit, its size, lowest, highest value, ticks, where the budget begins).
AXES = (
    ("multiply_adds", "Multiply-adds", "G", 1e9, 0.15, 700, (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500), 1),
    ("parameters", "Parameters", "M", 1e6, 3.5, 800, (5, 10, 20, 50, 100, 200, 500), 10),
    ("as built", "Time, as built", "ms", 1e-3, 12, 20_000, (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000), 100),
    ("optimised", "Time, optimised", "ms", 1e-3, 12, 20_000, (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000), 100),
)  # fmt: skip


def family_explorer() -> Explorer:
    """A figure of accuracy over cost, for all families: choose the edition, the cost, and a budget.

    Accuracies are those of :func:`effnet_lib.list_accuracies`, parameters and multiply-adds
    are counted, milliseconds come from a recorded run. The page's script picks what a budget
    buys and what lies on the frontier; the tests hold it equal to ``choose`` and
    ``frontier`` of this module.
    """
    return Explorer(
        "family", _data(), _static(), ("family.js",), "explorer of the families (shows itself in a notebook)", ("family.css",)
    )  # fmt: skip


def display_name(network: str) -> str:
    """What a reader calls it: ``"v2_s"`` is ``"V2-S"``."""
    if network in OTHERS:
        return OTHERS[network]
    return network.capitalize() if network.startswith("lite") else network.upper().replace("_", "-")


def _mark(network: str) -> str:
    return "" if network in OTHERS else network.removeprefix("lite").removeprefix("v2_").removeprefix("b").upper()


def own_figure(network: str) -> Accuracy:
    """The figure of the network's own paper or repository."""
    found = {one.edition.key: one for one in list_accuracies(network)}
    order = ("v5", "v2", "lite", "mobilenetv3", "advprop", "noisystudent", "v2_21k")
    return next(found[key] for key in order if key in found)


def seen(network: str, view: str) -> tuple[Accuracy, bool]:
    """The figure of a network in a view, and whether the view has one (else it is its own paper's)."""
    editions = next(editions for key, _, _, editions in VIEWS if key == view)
    found = {one.edition.key: one for one in list_accuracies(network)}
    for key in editions:
        if key in found:
            return found[key], True
    return own_figure(network), False


def cost_of(accuracy: Accuracy, axis: str) -> float | None:
    """What the network costs on an axis, in units, operations or seconds; None where nobody counted or measured.

    A time counts for the resolution at which it was measured.
    """
    if axis in ("multiply_adds", "parameters"):
        return getattr(accuracy, axis)
    resolution, seconds = measured_times().get((accuracy.network, axis), (None, None))
    return seconds if resolution == accuracy.resolution else None


def points(view: str, axis: str) -> list[tuple[str, float, float]]:
    """(network, cost, top-1) of all that take part: figures of the view, with a cost on the axis."""
    found = []
    for network in networks():
        accuracy, its_own = seen(network, view)
        cost = cost_of(accuracy, axis)
        if its_own and cost is not None:
            found.append((network, cost, accuracy.top1))
    return found


def frontier(points: Sequence[tuple[str, float, float]]) -> list[str]:
    """Networks to which no other is both cheaper and at least as accurate, the cheapest first."""
    kept, best = [], -math.inf
    for network, _, top1 in sorted(points, key=lambda point: (point[1], -point[2])):
        if top1 > best:
            kept.append(network)
            best = top1
    return kept


def choose(points: Sequence[tuple[str, float, float]], budget: float) -> tuple[str | None, str | None]:
    """The most accurate network within a budget, and the cheapest that is as good as far as can be told.

    Two figures are told apart if they differ by more than twice the standard error of their
    difference, reckoned as if each had its own 50,000 photographs. The second is None where it
    would be the first, both are where the budget buys nothing.
    """
    within = [point for point in points if point[1] <= budget]
    if not within:
        return None, None
    best = max(within, key=lambda point: (point[2], -point[1]))
    alike = [point for point in within if best[2] - point[2] <= 2 * math.hypot(_error(best[2]), _error(point[2]))]
    cheapest = min(alike, key=lambda point: (point[1], -point[2]))
    return best[0], None if cheapest[0] == best[0] else cheapest[0]


def networks() -> list[str]:
    """All that the explorer knows, in its order."""
    return [*list_variants(), *OTHERS]


def _error(top1: float) -> float:
    return math.sqrt(top1 * (100 - top1) / IMAGES)


def measured_times() -> dict[tuple[str, str], tuple[int, float]]:
    """(resolution, seconds) by network and way, from the record; empty if it is missing.

    Beside each network the record timed one and the same B0. Where that B0 took longer than it
    did at its quickest, the machine was slower for all, and the network's time is divided by as
    much: seconds of a machine that has nothing else to do.
    """
    try:
        rows = recorded(RECORD)["networks"]
    except ValueError:
        return {}
    quickest = min(row["yardstick_seconds"] for row in rows)
    return {
        (row["name"], row["way"]): (row["resolution"], row["seconds"] * quickest / row["yardstick_seconds"])
        for row in rows
    }


def _data() -> dict:
    measured = measured_times()
    ways = {way for _, way in measured}
    return {
        "images": IMAGES,
        "views": [{"key": key, "name": name, "what": what, "editions": keys} for key, name, what, keys in VIEWS],
        "axes": [
            dict(zip(("key", "name", "unit", "size", "low", "high", "ticks", "start"), axis))
            for axis in AXES
            if axis[0] in ways | {"multiply_adds", "parameters"}
        ],
        "editions": {
            one.edition.key: [one.edition.name, one.edition.source] for one in list_accuracies()
        },
        "networks": [_network(name, measured) for name in networks()],
        "measured": _source() if measured else "",
    }


def _network(name: str, measured: dict) -> dict:
    figures = list_accuracies(name)
    times = {way: pair for (network, way), pair in measured.items() if network == name}
    return {
        "key": name,
        "name": display_name(name),
        "mark": _mark(name),
        "family": "other" if name in OTHERS else get_variant(name).family,
        "own": own_figure(name).edition.key,
        "parameters": figures[0].parameters,
        "times": times,
        # edition: top-1, resolution, multiply-adds
        "figures": {one.edition.key: [one.top1, one.resolution, one.multiply_adds] for one in figures},
    }


def _source() -> str:
    record = recorded(RECORD)
    return f"one image on one thread of an {record['device']['name']}, PyTorch {record['versions']['torch']}"


def _static() -> str:
    """Every published figure and every cost: what the picture is drawn from."""
    shown = ["icml2019", "autoaugment2019", "v5", "torchvision1", "torchvision2", "advprop", "noisystudent"]
    names = ["First paper", "AutoAugment 2019", "Own paper", "torchvision", "torchvision, second", "AdvProp",
             "More images"]  # fmt: skip
    measured = measured_times()
    rows = []
    for network in networks():
        own, found = own_figure(network), {one.edition.key: one.top1 for one in list_accuracies(network)}
        found.setdefault("noisystudent", found.get("v2_21k", ""))
        if own.edition.key in ("v2", "lite", "mobilenetv3"):
            found["v5"] = own.top1
        _, seconds = measured.get((network, "as built"), (None, None))
        rows.append(
            [display_name(network), own.resolution, f"{own.parameters / 1e6:.1f}"]
            + [f"{own.multiply_adds / 1e9:.2f}" if own.multiply_adds else "–"]
            + ([f"{1e3 * seconds:.0f}" if seconds else "–"] if measured else [])
            + [f"{found[key]:g}" if found.get(key) else "–" for key in shown]
        )
    head = ["Network", "Pixels", "Parameters, M", "Multiply-adds, G", *(["Milliseconds"] if measured else []), *names]
    time = f" Milliseconds: {_source()}, as built." if measured else ""
    sources = "; ".join(f"{one.name}: {one.source}" for one in {a.edition: None for a in list_accuracies()})
    return (
        table(head, rows, "Published top-1 accuracies on ImageNet, in per cent, and costs")
        + f"<p>Parameters and multiply-adds: counted; GPipe's as printed.{time} Sources of the accuracies: {sources}.</p>"
    )
