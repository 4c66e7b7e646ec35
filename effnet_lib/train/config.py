"""Recipes: everything that a training run depends on, written down, checked, and saved with it.

    >>> config = make_config("digits", {"epochs": "5", "seed": "1"})
    >>> config.epochs, config.optimizer
    (5, 'sgd')

Nothing here needs more than the standard library.
"""

import dataclasses
import json
import os
import types
import typing
from dataclasses import dataclass, replace

from ..near import suggest
from ..variants import Variant, get_variant, scale_variant
from .class_weights import read_class_weights
from .errors import ConfigError

CHOICES = {
    "optimizer": ("sgd", "rmsprop_tf", "adamw"),
    "schedule": ("cosine", "staircase", "constant"),
    "crop": ("none", "pad", "resized"),
    "policy": ("none", "trivial", "rand"),
    "progressive": ("none", "paper", "code", "size"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "sampling": ("shuffle", "balanced"),
    "storage": ("auto", "memory", "stream"),
    "on_bad_image": ("stop", "skip"),
}

#: Fields that do not change what comes out: a run may be resumed with others.
RUN_ONLY = (
    "workers", "checkpoint_every", "keep", "log_every", "device", "data", "gradient_checkpointing", "on_bad_image",
)  # fmt: skip

#: Fields that suit the machine, and change what comes out by rounding: a run may be resumed with others, and says so.
MACHINE = ("precision", "channels_last", "compile")


#: Networks of others that a run may train, to see what the same recipe makes of them.
ANCHORS = ("resnet18",)


@dataclass(frozen=True)
class Config:
    """All settings of one run. Values are checked when it is made.

    Attributes:
        recipe: name of the recipe that it started from.
        data: ``digits``, ``cifar10``, ``cifar100`` or the path of a folder of images: class folders alone, or
            ``train`` with ``val`` or ``test`` or both beside it, one folder per class in each; or a folder with
            ``labels.csv`` for several labels an image (see :mod:`effnet_lib.train.labels`).
        variant: a released variant's name, or ``phi=-4,base=v2_b0`` (see :func:`make_variant`), or
            an anchor to compare with, ``resnet18``; None takes it from ``weights``.
        output_stride: 32, 16 or 8; smaller values suit small images. None leaves the variant's.
        resolution: side of the training images in pixels; None takes the size of a small data
            set, or the variant's own.
        eval_resolution: the same for evaluation; None takes ``resolution``, or the variant's.
        seed: of everything random but the split into training, validation and test images.
        epochs: passes over the training images.
        batch_size: images per step of the optimizer, over all processes together.
        accumulate: parts into which each process cuts its share of a batch, to save memory.
        optimizer: ``sgd`` (Nesterov), ``rmsprop_tf`` or ``adamw``.
        lr: peak learning rate for a batch of ``lr_batch`` images; scaled in proportion to the
            batch (``peak_lr``). An ``lr_batch`` of 0 takes it as it is.
        momentum: of sgd and rmsprop_tf; adamw has its own (PyTorch's β of 0.9 and 0.999).
        weight_decay: on the weights of convolutions and linear layers, and on nothing else.
        schedule: ``cosine`` to 0, ``staircase`` (× ``decay`` every ``decay_epochs``) or ``constant``.
        warmup_epochs: first epochs, in which the learning rate rises in a straight line, at each step by the
            same amount, up to the peak. They are part of ``epochs``; cosine begins at their end, the
            staircase counts from the first step.
        label_smoothing: probability mass that goes to all classes alike; with several labels for an image,
            half of it to each label's presence and absence.
        ema_decay: of the exponential moving average of weights and statistics, reached after a warm-up of
            its own (see :func:`ema_decay`).
        class_weights: what each class weighs in the loss: ``none`` (all alike), ``balanced`` (by the training
            images: the rarer a class, the more), numbers in the order of the classes such as ``1,2,0.5``, or
            a JSON object such as ``{"cat": 2}``, where the others weigh 1. With several labels for an image
            they weigh the images that have the label (``pos_weight``).
        sampling: ``shuffle`` (each image once an epoch) or ``balanced`` (each draw picks a class, then
            one of its images, with replacement).
        clip_norm: largest norm of the gradient; None does not clip.
        crop: ``pad`` (reflect by ``pad`` pixels, crop back), ``resized`` (a random part of at
            least ``min_area``, enlarged) or ``none``.
        flip: whether to mirror left and right at random.
        policy: ``trivial`` (TrivialAugment), ``rand`` (RandAugment, two operations of strength
            ``magnitude``, where 10 is torchvision's strongest) or ``none``.
        cutout: side in pixels of a square set to the mean; 0 for none.
        mixup, cutmix: α of the Beta distribution; 0 for none.
        mix_probability: share of batches that are mixed at all.
        plain_epochs: last epochs without mixing.
        dropout, stochastic_depth_rate, norm_eps, norm_momentum: in place of the variant's own.
        freeze_norm: keep the batch-norm statistics as they are, and use them while training.
        progressive: image size and regularisation grow in ``stages``, by the V2 ``paper``'s
            rule or by the released ``code``'s; ``size`` lets the image alone grow, to compare.
        min_resolution: image side of the first of these stages.
        validation: share of the training images held out for validation.
        per_class: train on so many images of each class only, chosen by the seed, to see what few
            labels give; None takes all. Validation and test images stay the same.
        evaluate_every: epochs between validations; each is followed by a checkpoint.
        weights: what to start from, as :func:`effnet_lib.build_model` takes it: ``lite``,
            ``torchvision``, ``timm:tf_efficientnet_b0.in1k``, a file; None starts afresh. Padding,
            batch norm's eps and the normalisation of RGB images follow the weights.
        freeze_epochs: number of first epochs in which the classifier alone is trained, under a network
            that stays as the weights have it, in eval mode.
        precision: ``auto`` is bf16 or fp16 autocast by what the GPU can do, and fp32 on a CPU.
        channels_last: memory layout; faster on GPUs with tensor cores.
        compile: whether to use ``torch.compile``.
        gradient_checkpointing: compute each block again in the backward pass: less memory, about a
            third more time, the same result (:func:`effnet_lib.training_memory` tells how much).
        storage: ``memory`` (uint8 on the device), ``stream`` (from disk) or ``auto``.
        on_bad_image: ``stop`` before training if an image file cannot be read, or ``skip`` such files: the
            run goes on as if they were not there, and its record names them.
        device: ``auto`` (a CUDA GPU, or else the CPU), ``cpu``, ``cuda``, ``cuda:1``, or ``mps`` for the GPU of
            a Mac, in fp32.
        workers: processes that read images, where they stream; None for the cores there are, up to 8. Where
            the machine has fewer cores, or too little shared memory, fewer read, and a warning says so.
        checkpoint_every: steps between checkpoints within an epoch; 0 for none.
        keep: number of latest checkpoints to keep (the best is kept besides).
        log_every: steps between looks at the loss.

    Raises:
        ConfigError: a value is of the wrong kind, out of range, or not one of the choices.
    """

    recipe: str
    data: str
    variant: str | None
    output_stride: int | None = None
    resolution: int | None = None
    eval_resolution: int | None = None
    seed: int = 0
    epochs: int = 200
    batch_size: int = 512
    accumulate: int = 1
    optimizer: str = "sgd"
    lr: float = 0.4
    lr_batch: int = 512
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    decay: float = 0.97
    decay_epochs: float = 2.4
    warmup_epochs: float = 5.0
    label_smoothing: float = 0.1
    ema_decay: float = 0.999
    class_weights: str = "none"
    sampling: str = "shuffle"
    clip_norm: float | None = None
    crop: str = "pad"
    pad: int = 4
    min_area: float = 0.08
    flip: bool = True
    policy: str = "none"
    magnitude: float = 5.0
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_probability: float = 1.0
    plain_epochs: int = 0
    dropout: float | None = None
    stochastic_depth_rate: float | None = None
    norm_eps: float | None = None
    norm_momentum: float | None = None
    freeze_norm: bool = False
    progressive: str = "none"
    stages: int = 4
    min_resolution: int = 128
    validation: float = 0.1
    per_class: int | None = None
    evaluate_every: int = 1
    weights: str | None = None
    freeze_epochs: int = 0
    precision: str = "auto"
    channels_last: bool = True
    compile: bool = False
    gradient_checkpointing: bool = False
    storage: str = "auto"
    on_bad_image: str = "stop"
    device: str = "auto"
    workers: int | None = None
    checkpoint_every: int = 0
    keep: int = 3
    log_every: int = 20

    def __post_init__(self):
        if isinstance(self.class_weights, (list, tuple, dict)):
            object.__setattr__(self, "class_weights", json.dumps(self.class_weights))
        for field in dataclasses.fields(self):
            _check_type(field.name, field.type, getattr(self, field.name))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(_unknown(f"{name} =", getattr(self, name), allowed))
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not (low <= value <= high and value < _MANY):
                limits = f"at least {low:g}{' and finite' * (value == _MANY)}" if high == _MANY else f"between {low:g} and {high:g}"
                raise ConfigError(f"{name} must be {limits}, got {value:g}")
        if not 0 < self.lr < _MANY:
            raise ConfigError(f"lr must be above 0 and finite, got {self.lr:g}")
        if self.decay_epochs <= 0:
            raise ConfigError(f"decay_epochs must be above 0, got {self.decay_epochs:g}")
        if self.warmup_epochs > self.epochs:
            raise ConfigError(
                f"warmup_epochs = {self.warmup_epochs:g} is longer than the run of {self.epochs} "
                "epochs: lower it, or train longer"
            )
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"accumulate = {self.accumulate} must divide batch_size = {self.batch_size}"
            )
        if self.freeze_epochs > self.epochs:
            raise ConfigError(f"freeze_epochs = {self.freeze_epochs} are more than the run's {self.epochs} epochs")
        if self.freeze_epochs and not self.weights:
            raise ConfigError("freeze_epochs keeps the network as the weights have it, and there are none: give weights")
        read_class_weights(self.class_weights)
        if self.variant is not None and self.variant not in ANCHORS:
            make_variant(self.variant)
        elif self.variant is not None and self.gradient_checkpointing:
            raise ConfigError(f"gradient_checkpointing is for networks of this library: variant {self.variant} is none")
        elif self.variant is not None and self.weights:
            raise ConfigError(f"variant {self.variant} is trained from scratch, to compare with: leave weights out")
        elif self.variant is None and not self.weights and self.recipe != "fine_tune":
            raise ConfigError("variant is none and there are no weights to take it from: give one of the two")

    @property
    def peak_lr(self) -> float:
        """The learning rate for this batch size."""
        return self.lr * self.batch_size / self.lr_batch if self.lr_batch else self.lr

    def to_json(self) -> str:
        """The settings as JSON, one field a line."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False)

    def differences(self, other: "Config") -> list[str]:
        """Fields in which ``other`` would give another result, as ``name: theirs, not ours``."""
        pairs = (
            (f.name, getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self)
        )
        return [f"{n} was {a!r}, now {b!r}" for n, a, b in pairs if a != b and n not in RUN_ONLY + MACHINE]


_MANY = float("inf")

# name, smallest, largest
_RANGES = (
    ("seed", 0, 2**63 - 1),
    ("epochs", 1, _MANY), ("batch_size", 1, _MANY), ("accumulate", 1, _MANY),
    ("lr_batch", 0, _MANY), ("momentum", 0, 0.9999), ("weight_decay", 0, 1),
    ("decay", 1e-6, 1), ("warmup_epochs", 0, _MANY), ("label_smoothing", 0, 0.99),
    ("ema_decay", 0, 0.999999), ("clip_norm", 1e-6, _MANY), ("pad", 0, 64),
    ("min_area", 0.01, 1), ("magnitude", 0, 30), ("cutout", 0, 1024), ("mixup", 0, 100),
    ("cutmix", 0, 100), ("mix_probability", 0, 1), ("plain_epochs", 0, _MANY), ("dropout", 0, 0.99),
    ("stochastic_depth_rate", 0, 0.99), ("norm_eps", 1e-12, 1), ("norm_momentum", 0, 1),
    ("stages", 1, 100), ("resolution", 8, 4096), ("eval_resolution", 8, 4096),
    ("freeze_epochs", 0, _MANY), ("min_resolution", 8, 4096), ("validation", 0.001, 0.9),
    ("per_class", 1, _MANY), ("evaluate_every", 1, _MANY),
    ("workers", 0, _MANY), ("checkpoint_every", 0, _MANY), ("keep", 1, _MANY),
    ("log_every", 1, _MANY),
)  # fmt: skip


def make_config(recipe: str, changes: dict[str, object] | None = None) -> Config:
    """The recipe of that name with some fields changed.

    Args:
        recipe: a key of ``RECIPES``.
        changes: field to value; strings are read as the field's type (``"none"`` is None).

    Raises:
        ConfigError: unknown recipe or field (the near ones are named), or a value that does
            not fit.
    """
    if recipe not in RECIPES:
        raise ConfigError(_unknown("unknown recipe", recipe, RECIPES))
    return change_config(RECIPES[recipe], changes or {})


def change_config(config: Config, changes: dict[str, object]) -> Config:
    """``config`` with some fields changed; see :func:`make_config`."""
    return replace(config, **_changed(changes))


def _changed(changes: dict[str, object]) -> dict[str, object]:
    types_ = {field.name: field.type for field in dataclasses.fields(Config)}
    values = {}
    for name, value in changes.items():
        if name not in types_ or name == "recipe":
            raise ConfigError(_unknown("unknown field", name, [n for n in types_ if n != "recipe"]))
        values[name] = _read(name, types_[name], value) if isinstance(value, str) else value
    return values


def config_from_json(text: str, changes: dict[str, object] | None = None) -> Config:
    """The settings that :meth:`Config.to_json` wrote, with some fields changed before they are checked.

    Raises:
        ConfigError: the text is not such JSON, or a value does not fit.
    """
    try:
        return Config(**(json.loads(text) | _changed(changes or {})))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"not a saved configuration: {error}") from None


def make_variant(name: str) -> Variant:
    """The variant that a run names.

    A released name or ``phi=NUMBER``, then any of ``base=NAME`` (what φ scales),
    ``depth=FACTOR`` and ``width=FACTOR`` (at least 1, on top of φ), ``se=0`` (without
    squeeze-and-excitation) and ``activation=relu``, in this form: ``phi=-4,base=v2_b0,depth=2``.

    Raises:
        ConfigError: there is none of that name, or a number is out of range.

    >>> make_variant("phi=1").stages[2].channels
    48
    >>> make_variant("b0,se=0").stages[0].se_ratio
    0
    """
    first, *rest = name.split(",")
    parts = dict(part.partition("=")[::2] for part in rest)
    if first.startswith("phi="):
        parts["phi"] = first.removeprefix("phi=")
    try:
        if unknown := parts.keys() - {"phi", "base", "depth", "width", "se", "activation"}:
            raise ConfigError(
                f"variant {name!r}: {sorted(unknown)[0]!r} is none of phi, base, depth, width, se, activation"
            )
        if "phi" in parts:
            variant = scale_variant(_factor(name, "phi", parts["phi"]), parts.get("base", "b0"))
        elif "base" in parts:
            raise ConfigError(f"variant {name!r}: base= says what phi= scales, and there is no phi=")
        else:
            variant = get_variant(first)
        if grown := {k: _factor(name, k, parts[k]) for k in ("depth", "width") if k in parts}:
            factors = {"alpha": grown.get("depth", 1.0), "beta": grown.get("width", 1.0), "gamma": 1.0}
            words = "".join(f", {k} × {v:g}" for k, v in grown.items())
            taller = scale_variant(1, variant, **factors)
            variant = replace(taller, name=variant.name + words, phi=variant.phi, dropout=variant.dropout)
        if "se" in parts:
            if parts["se"] != "0":
                raise ConfigError(f"variant {name!r}: se=0 leaves squeeze-and-excitation out, got se={parts['se']}")
            stages = tuple(replace(stage, se_ratio=0) for stage in variant.stages)
            variant = replace(variant, stages=stages, name=f"{variant.name} without SE")
        if "activation" in parts:
            kinds = ("silu", "relu", "relu6")
            if parts["activation"] not in kinds:
                raise ConfigError(_unknown(f"variant {name!r}: unknown activation", parts["activation"], kinds))
            variant = replace(variant, activation=parts["activation"], name=f"{variant.name} with {parts['activation']}")
        return variant
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _factor(name: str, key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"variant {name!r}: after {key}= a number is expected, got {text!r}") from None


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _kinds(annotation) -> tuple[type, bool]:
    """The plain type of a field, and whether None will do."""
    if isinstance(annotation, types.UnionType):
        kind, _ = typing.get_args(annotation)
        return kind, True
    return annotation, False


def _check_type(name: str, annotation, value) -> None:
    kind, optional = _kinds(annotation)
    allowed = (int, float) if kind is float else kind
    wrong_bool = isinstance(value, bool) and kind is not bool
    if (value is None and optional) or (isinstance(value, allowed) and not wrong_bool):
        if isinstance(value, float) and value != value:
            raise ConfigError(f"{name} must be a number, got nan")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise ConfigError(f"{name} must be an integer of 64 bits, got one of {value.bit_length()}")
        if isinstance(value, str) and not value.isascii() and value.encode(errors="replace").decode() != value:
            raise ConfigError(f"{name} must be text, got {value!r}: bytes that are no UTF-8")
        return
    raise ConfigError(f"{name} must be {_spell(kind)}{' or none' * optional}, got {value!r}")


def _spell(kind: type) -> str:
    return {int: "an integer", float: "a number", bool: "true or false", str: "a string"}[kind]


def _read(name: str, annotation, text: str):
    """``text`` as the type of the field."""
    kind, optional = _kinds(annotation)
    if optional and text.lower() in ("none", "null", ""):
        return None
    if kind is str:
        return text
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        message = f"{name} must be {_spell(kind)}{' or none' * optional}, got {text!r}"
        raise ConfigError(message) from None


def _unknown(what: str, name, known) -> str:
    return f"{what} {name!r}: {suggest(str(name), known)}"


#: The recipes by name; change one with :func:`change_config`.
RECIPES = {
    # A network of 0.3 M parameters on digits of 8 × 8 pixels, doubled: under a minute on two
    # cores. Batch norm's momentum is 0.1: B0's 0.01 is too slow for a run of 300 steps.
    "digits": Config(
        "digits", "digits", "phi=-8", output_stride=8, resolution=16, epochs=14, batch_size=64, lr=0.1,
        lr_batch=64, weight_decay=5e-4, warmup_epochs=2.0, label_smoothing=0.1, ema_decay=0.99,
        crop="pad", pad=1, flip=False, dropout=0.2, stochastic_depth_rate=0.1,
        norm_momentum=0.1, log_every=1,
    ),
    # From scratch at 32 pixels; tune on the held-out images, report the last EMA weights.
    "cifar": Config(
        "cifar", "cifar10", "b0", output_stride=8, epochs=200, batch_size=512, lr=0.4,
        lr_batch=512, weight_decay=5e-4, warmup_epochs=5.0, label_smoothing=0.1, ema_decay=0.998,
        crop="pad", pad=4, flip=True, policy="trivial", cutout=8, cutmix=1.0, mix_probability=0.5,
        plain_epochs=15, dropout=0.2, stochastic_depth_rate=0.1, norm_momentum=0.1,
        evaluate_every=5,
    ),
    # tensorflow/tpu, efficientnet/main.py and arXiv:1905.11946, §5.2. The learning rate is per 256
    # images: 0.128 for the 2048 of the released code's default, and the 0.256 that the paper prints for
    # 4096. RandAugment stands in for AutoAugment, which most of the released weights used.
    "paper": Config(
        "paper", "imagenet", "b0", epochs=350, batch_size=2048, optimizer="rmsprop_tf", lr=0.016,
        lr_batch=256, weight_decay=1e-5, schedule="staircase", decay=0.97, decay_epochs=2.4,
        warmup_epochs=5.0, label_smoothing=0.1, ema_decay=0.9999, crop="resized", flip=True,
        policy="rand", magnitude=5.0, validation=0.02, checkpoint_every=500,
    ),
    # From pretrained weights: a low rate, little noise, and a short run.
    "fine_tune": Config(
        "fine_tune", "cifar10", None, epochs=10, batch_size=64, lr=0.01, lr_batch=64,
        weight_decay=1e-4, warmup_epochs=1.0, label_smoothing=0.1, ema_decay=0.999,
        crop="resized", min_area=0.35, flip=True, policy="none", checkpoint_every=500,
    ),
}  # fmt: skip
