"""What eight bits cost in accuracy, and gain in time and bytes.

    .venv/bin/python -m benchmarks.quantization --runs runs/digits runs/digits-lite
    .venv/bin/python -m benchmarks.quantization --runs … --json results/quantization-NAME.json

For each network: the same network in ONNX, in single precision and quantised (ranges of the
feature maps by ``minmax`` and ``percentile``, and with squeeze-and-excitation left
in single precision). Of the folders given, each a finished run of ``effnet train``, accuracy
is counted on the test set of the run; ranges are measured on its training images. Lite0 with
its ImageNet weights is compared on pictures that come with matplotlib, scikit-learn and
scikit-image: there are no labels to it, so agreement with single precision is what is
reported. Ranges are measured on other pictures than those.

``spread`` says why a network is hard to quantise: the range of a whole feature map over that of
the middle one of its channels, which share one step; the median over the blocks, at the input
of their projections (behind the gates of squeeze-and-excitation, where there are any).
"""

import argparse
import dataclasses
import json
import statistics
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.inference import _now
from effnet_lib import build_model, export_model, quantize_model
from effnet_lib.bench import summarise, take_turns
from effnet_lib.export import onnx_session
from effnet_lib.quantize import agreement
from effnet_lib.train.augment import Augment
from effnet_lib.files import write_atomically
from effnet_lib.train.config import config_from_json, make_variant
from effnet_lib.train.data import load_data
from effnet_lib.train.record import commit, device_name, read_record, versions

SETTINGS = {
    "minmax": {}, "percentile": {"method": "percentile"},
    "minmax, squeeze-and-excitation in float": {"float_layers": ["se"]},
}  # fmt: skip


def compare(model: nn.Module, calibration: Tensor, test: Tensor, labels: Tensor | None) -> dict:
    """One network in single precision and in eight bits, by every setting."""
    model.eval()
    has_se = any(name.endswith(".se.reduce") for name, _ in model.named_modules())
    out = {"variant": model.variant.name, "spread": spread(model, calibration), "settings": {}}
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float.onnx"
        done = export_model(model, plain, resolution=test.shape[-1])
        sessions = {"float32": onnx_session(plain)}
        out["float_bytes"] = done.bytes
        for name, setting in SETTINGS.items():
            if "float_layers" in setting and not has_se:
                continue
            path = Path(folder) / f"{len(sessions)}.onnx"
            result = quantize_model(model, path, calibration, **setting)
            sessions[name] = onnx_session(path)
            out["settings"][name] = {"bytes": result.bytes}

        logits = {name: run(session, test) for name, session in sessions.items()}
        one = test[:1].contiguous().numpy()
        steps = {name: lambda s=session: s.run(None, {"images": one}) for name, session in sessions.items()}
        speed = summarise(take_turns(steps, 15), "float32")
    for name, row in out["settings"].items():
        row |= agreement(logits["float32"], logits[name])
        row |= {"seconds": speed[name]["seconds"], "times_faster": speed[name]["ratio"]}
    out["float_seconds"] = speed["float32"]["seconds"]
    out["test_images"], out["calibration_images"] = len(test), len(calibration)
    if labels is not None:
        out["float_accuracy"] = accuracy(logits["float32"], labels)
        for name, row in out["settings"].items():
            row["accuracy"] = accuracy(logits[name], labels)
    return out


def run(session, images: Tensor) -> Tensor:
    return torch.cat([torch.from_numpy(session.run(None, {"images": p.numpy()})[0]) for p in images.split(16)])


def accuracy(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(1) == labels).double().mean().item()


def spread(model: nn.Module, images: Tensor) -> float:
    """Range of a feature map over the range of its middle channel: median over the blocks."""
    ratios = []

    def hook(module, inputs):
        low, high = inputs[0].amin((0, 2, 3)), inputs[0].amax((0, 2, 3))
        low, high = low.clamp(max=0), high.clamp(min=0)  # zero is always a step
        ratios.append(((high.max() - low.min()) / (high - low).median().clamp(min=1e-12)).item())

    handles = [block.project.register_forward_pre_hook(hook) for stage in model.stages for block in stage]
    with torch.inference_mode():
        model(images[:64])
    for handle in handles:
        handle.remove()
    return statistics.median(ratios)


def of_a_run(folder: Path) -> dict:
    """A finished run: its network, test images and labels."""
    record = read_record(folder)
    config = config_from_json((folder / "config.json").read_text())
    data = load_data(config)
    variant = make_variant(config.variant)
    if config.output_stride:
        variant = variant.with_output_stride(config.output_stride)
    weights = next(path for path in sorted(folder.glob("weights.*"), reverse=True))
    model = build_model(variant, len(data.classes), data.channels, weights=weights)
    prepare = Augment(dataclasses.replace(config, channels_last=False), data.mean, data.std, len(data.classes))
    size = record["model"]["resolution"]
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[:256]
    calibration = prepare.evaluate(data.train.take(order).images, size)
    result = compare(model, calibration, prepare.evaluate(data.test.images, size), data.test.labels)
    return {"data": data.id, "recorded_accuracy": record["final"]["test_accuracy"]} | result


def of_lite0() -> dict:
    """Lite0 with its ImageNet weights, on pictures that installed packages bring along."""
    model = build_model("lite0", weights="lite")
    calibration, test = pictures(model.preprocess)
    return {"data": "pictures of matplotlib, scikit-learn, scikit-image"} | compare(model, calibration, test, None)


def pictures(prepare) -> tuple[Tensor, Tensor]:
    """Crops of a few dozen pictures: those to measure ranges on, and others to compare on."""
    import matplotlib.cbook
    import skimage.data
    import sklearn.datasets
    from PIL import Image

    images = [Image.fromarray(array) for array in sklearn.datasets.load_sample_images().images]
    images.append(Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    for name in ("astronaut", "camera", "coffee", "chelsea", "rocket", "coins", "cat", "page", "text", "clock", "moon"):
        try:
            images.append(Image.fromarray(getattr(skimage.data, name)()))
        except Exception:  # not all of them are installed with the package: others are downloads
            continue
    groups: tuple[list, list] = ([], [])
    for number, image in enumerate(images):
        image = image.convert("RGB")
        width, height = image.size
        side = min(width, height)
        for share in (1.0, 0.75, 0.5):
            crop = int(side * share)
            for x, y in {(0, 0), (width - crop, height - crop), ((width - crop) // 2, (height - crop) // 2)}:
                groups[number % 2].append(prepare(image.crop((x, y, x + crop, y + crop))))
    return tuple(torch.cat([p if p.ndim == 4 else p[None] for p in group]) for group in groups)


def shown(accuracy: float | None) -> str:
    return "unknown" if accuracy is None else f"{100 * accuracy:.2f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--runs", nargs="*", type=Path, default=[], metavar="DIR", help="finished training runs")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the record")
    arguments = parser.parse_args()
    started, networks = _now(), []
    for make in [*(lambda folder=folder: of_a_run(folder) for folder in arguments.runs), of_lite0]:
        network = make()
        networks.append(network)
        print(
            f"\n{network['variant']}, {network['data']}: {network['test_images']} images, spread "
            f"{network['spread']:.1f}, accuracy {shown(network.get('float_accuracy'))}, "
            f"{1e3 * network['float_seconds']:.2f} ms, {network['float_bytes'] / 1e6:.2f} MB"
        )
        for name, row in network["settings"].items():
            print(
                f"  {name:<40} accuracy {shown(row.get('accuracy'))}  same best class "
                f"{100 * row['top1_agreement']:.1f} %  of the five best {100 * row['top5_overlap']:.1f} %  "
                f"{row['signal_to_noise_db']:.1f} dB  {row['times_faster']:.2f} times faster  {row['bytes'] / 1e6:.2f} MB"
            )
    if arguments.json:
        command = ["python", "-m", "benchmarks.quantization", "--runs", *map(str, arguments.runs)]
        record = {
            "schema": "effnet-quantization-1", "command": " ".join([*command, "--json", str(arguments.json)]),
            "commit": commit(), "started": started, "finished": _now(),
            "device": {"name": device_name(torch.device("cpu")), "threads": torch.get_num_threads()},
            "versions": versions(), "networks": networks,
        }  # fmt: skip
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.json, (json.dumps(record, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
