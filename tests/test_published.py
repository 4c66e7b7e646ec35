"""Published accuracies: what stands in the sources, and that nothing stands twice or alone."""

import json
import math

import pytest

from effnet_lib import accuracy_editions, count_cost, get_variant, list_accuracies, list_variants, published_table
from effnet_lib.published import IMAGES, PATH_OF_TORCHVISION

EDITIONS = {edition.key: edition for edition in accuracy_editions()}


def top1(edition, *names):
    found = {one.network: one.top1 for one in list_accuracies(edition=edition)}
    return [found[name] for name in names]


def test_the_two_versions_of_the_paper():
    names = [f"b{i}" for i in range(8)]
    assert top1("icml2019", *names) == [76.3, 78.8, 79.8, 81.1, 82.6, 83.3, 84.0, 84.4]
    assert top1("autoaugment2019", *names) == [77.3, 79.2, 80.3, 81.7, 83.0, 83.7, 84.2, 84.5]
    assert top1("v5", *names) == [get_variant(name).published.top1 for name in names]
    assert top1("noisystudent", "b0", "l2") == [78.8, 88.4] and top1("advprop", "b8") == [85.5]


def test_what_is_in_the_variants_is_used_and_not_repeated():
    for name in list_variants():
        published = get_variant(name).published
        assert published.top1 in [one.top1 for one in list_accuracies(name)]
    assert {one.network for one in list_accuracies(edition="lite")} == set(list_variants("lite"))
    assert top1("v2_21k", "v2_xl") == [87.2] and EDITIONS["v2_21k"].extra_images


def test_each_figure_is_there_once_with_its_cost():
    every = list_accuracies()
    assert len({(one.network, one.edition.key) for one in every}) == len(every) > 90
    assert {one.edition.key for one in every} == set(EDITIONS)
    for one in every:
        assert 70 < one.top1 < 90 and one.edition.source and "{}" not in one.edition.source
        assert 0.13 < one.standard_error < 0.2
        if one.network in list_variants():
            assert one.multiply_adds == count_cost(one.network, one.resolution).multiply_adds
    assert [one.resolution for one in list_accuracies("b2", "torchvision1")] == [288]
    gpipe = list_accuracies("gpipe")[0]
    assert (gpipe.parameters, gpipe.multiply_adds) == (557_000_000, None)


def test_standard_error():
    b0 = list_accuracies("b0", "v5")[0]
    assert b0.standard_error == pytest.approx(100 * math.sqrt(0.771 * 0.229 / IMAGES))


def test_the_record_of_torchvision_is_that_of_the_installed_one():
    from tools.record_torchvision import record

    kept, now = json.loads(PATH_OF_TORCHVISION.read_text("utf-8")), record()
    if kept["torchvision"] != now["torchvision"]:
        pytest.skip(f"recorded with torchvision {kept['torchvision']}, installed is {now['torchvision']}")
    assert kept == now, "run python -m tools.record_torchvision"


def test_torchvision_counts_its_efficientnets_as_this_library_does():
    kept = json.loads(PATH_OF_TORCHVISION.read_text("utf-8"))["networks"]
    for name, network in kept.items():
        if name.startswith("efficientnet_"):
            short = name.removeprefix("efficientnet_")
            for weights in network["weights"].values():
                cost = count_cost(short, weights["crop"])
                assert (network["parameters"], weights["multiply_adds"]) == (cost.parameters, cost.multiply_adds)


def test_tables():
    seconds = {row["network"]: row["seconds"] for row in published_table("latency")}
    assert round(seconds["gpipe"] / seconds["b7"], 1) == 6.1 and round(seconds["resnet152"] / seconds["b1"], 1) == 5.7
    steps = [row["top1"] for row in published_table("resnet50_recipe")]
    assert steps == sorted(steps)
    recorded = [one.top1 for one in list_accuracies("resnet50") if one.edition.key.startswith("torchvision")]
    assert [steps[0], steps[-1]] == recorded
    assert [row["network"] for row in published_table("lite_phone")] == list_variants("lite")
    row = published_table("transfer")[0]
    row["top1"] = 0  # a copy: the table stays
    assert published_table("transfer")[0] == {**row, "top1": 98.1}


@pytest.mark.parametrize("call, message", [
    (lambda: list_accuracies("b99"), "no accuracies of 'b99': there are b0"),
    (lambda: list_accuracies(edition="v6"), "unknown edition 'v6': there are icml2019"),
    (lambda: published_table("speed"), "no table 'speed': there are latency"),
])  # fmt: skip
def test_what_there_is_not(call, message):
    with pytest.raises(ValueError, match=message):
        call()
