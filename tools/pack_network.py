"""Put a trained network into the library: weights in half precision, record, gates.

    python -m tools.pack_network RUN [--data NAME_OR_FOLDER]

RUN is the folder of a finished `effnet train` run on 32-pixel images with `--set
variant=phi=…`. Writes effnet_lib/data/cifar_small.safetensors and cifar_small.json. What
stands in the record stays as it is, except that the place of the data on that machine becomes
its name. The test images are looked at once more, for the gates' statistics; the accuracy
of the halved weights is printed beside that of the record.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save

from effnet_lib.inside import se_blocks, se_gates
from effnet_lib.samples import cifar_small
from effnet_lib.train.config import config_from_json
from effnet_lib.train.data import load_data
from effnet_lib.train.record import read_record

DATA = Path(__file__).resolve().parents[1] / "effnet_lib" / "data"


def halve(state: dict) -> dict:
    """Numbers in half precision; statistics of batch norm, which reach further, as they are."""
    return {
        name: (tensor.half() if tensor.is_floating_point() and "running" not in name else tensor).contiguous()
        for name, tensor in state.items()
    }


@torch.no_grad()
def measure_gates(model, images: torch.Tensor) -> dict:
    """The statistics that :func:`effnet_lib.samples.cifar_small_gates` describes."""
    parts = [se_gates(model, batch) for batch in images.split(1000)]
    blocks = {}
    for number in parts[0]:
        gates = torch.cat([part[number] for part in parts]).double()
        average = gates.mean(0)
        blocks[number] = {
            "channels": gates.shape[1],
            "mean": round(float(gates.mean()), 4),
            "between_channels": round(float(average.std(correction=0)), 4),
            "between_images": round(float((gates - average).square().mean().sqrt()), 4),
        }
    return {"images": len(images), "blocks": blocks}


@torch.no_grad()
def measure_fixed(model, images: torch.Tensor, labels: torch.Tensor) -> dict:
    """Accuracy with the gates of one block, or of all, held at their averages over the images."""
    average = {number: gates.mean(0)[:, None, None] for number, gates in se_gates(model, images).items()}
    layers = se_blocks(model)

    def accuracy(fixed: list[int]) -> float:
        hooks = [
            layers[n].register_forward_hook(lambda _, inputs, __, gates=average[n]: inputs[0] * gates) for n in fixed
        ]
        try:
            right = sum(int((model(x).argmax(1) == y).sum()) for x, y in zip(images.split(500), labels.split(500)))
        finally:
            for hook in hooks:
                hook.remove()
        return right / len(images)

    return {
        "fixed_images": len(images),
        "fixed_none": accuracy([]),
        "fixed_one": {number: accuracy([number]) for number in layers},
        "fixed_all": accuracy(list(layers)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", help="where the data set lies now, if not where it was")
    arguments = parser.parse_args()

    record = read_record(arguments.run)
    config = config_from_json(json.dumps(record["config"] | ({"data": arguments.data} if arguments.data else {})))
    data = load_data(config)
    if data.sha256 != record["dataset"]["sha256"]:
        parser.error(f"the data set at {config.data} is not the one of the run: its hash differs")
    name = data.id
    record["command"] = record["command"].replace(record["config"]["data"], name)
    record["config"]["data"] = name
    facts = {"mean": [v / 255 for v in data.mean], "std": [v / 255 for v in data.std], "record": record}

    state = torch.load(arguments.run / "weights.pt", weights_only=True)
    (DATA / "cifar_small.safetensors").write_bytes(save(halve(state)))
    path = DATA / "cifar_small.json"
    path.write_text(json.dumps(facts, indent=1) + "\n")

    network = cifar_small()
    images, right = network.prepare(data.test.images / 255), 0
    with torch.no_grad():
        for batch, labels in zip(images.split(1000), data.test.labels.split(1000)):
            right += int((network.model(batch).argmax(1) == labels).sum())
    facts["gates"] = measure_gates(network.model, images) | measure_fixed(
        network.model, images[::5], data.test.labels[::5]
    )
    path.write_text(json.dumps(facts, indent=1) + "\n")
    print(f"record: {network.test_accuracy:.2%}; in half precision: {right / len(images):.2%}")


if __name__ == "__main__":
    main()
