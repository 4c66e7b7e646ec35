"""The recipe explorer: the learning rate from the first step to the last, and what the EMA remembers."""

from ..train.config import RECIPES, make_config
from .element import Explorer, table

#: Training images: ImageNet, CIFAR-10 and the digits, the last two without what validation takes.
IMAGES = {"imagenet": 1_281_167, "cifar": 45_000, "digits": 1_295}

SCHEDULES = {"staircase": "staircase", "cosine": "cosine", "constant": "constant"}
DECAYS = ("0.9", "0.99", "0.998", "0.9999")  # those of the recipes, and a short one
BATCHES = ("64", "256", "512", "1024", "2048", "4096")

#: (smallest, largest, step) of the sliders.
LIMITS = {"epochs": (1, 350, 1), "lr": (0.001, 0.4, 0.001), "warmup": (0, 20, 0.5), "at": (0, 100, 0.5)}


def recipe_explorer() -> Explorer:
    """A figure of the learning rate over a run, with the weights of the EMA over past steps under it.

    The page computes both itself: :func:`effnet_lib.train.lr_factor`, and the product of
    :func:`effnet_lib.train.ema_decay`, in closed form; the tests hold them equal.
    """
    data = {
        "images": IMAGES,
        "schedules": SCHEDULES,
        "decays": DECAYS,
        "batches": BATCHES,
        "limits": LIMITS,
        "decay": RECIPES["paper"].decay,
        "decay_epochs": RECIPES["paper"].decay_epochs,
        "recipes": {name: settings(name) for name in ("paper", "cifar", "digits")},
    }
    return Explorer(
        "recipe", data, _static(), ("recipe.js",), "recipe explorer (shows itself in a notebook)", ("recipe.css",)
    )


def settings(recipe: str) -> dict:
    """The positions of the controls that show a recipe of the library."""
    config = make_config(recipe)
    return {
        "rx_images": "imagenet" if recipe == "paper" else recipe,
        "rx_epochs": config.epochs,
        "rx_batch": str(config.batch_size),
        "rx_lr": round(config.lr * 256 / config.lr_batch, 3),
        "rx_warmup": config.warmup_epochs,
        "rx_schedule": config.schedule,
        "rx_decay": str(config.ema_decay),
    }


def ema_remaining(decay: float, since: int, until: int) -> float:
    """The share of what the average held after ``since`` updates, in the average after ``until``.

    The product of min(decay, (1 + n) / (10 + n)) over n from ``since`` to ``until`` − 1; as long
    as the warm-up holds, nearly all factors cancel. The first update copies the weights, so
    that ``since`` is at least 1.

    >>> round(ema_remaining(0.99, 900, 1_000), 3)  # 0.99 to the power of 100
    0.366
    """
    knee = (10 * decay - 1) / (1 - decay)  # from here on the decay is constant
    turn = min(until, max(since, int(knee) + (knee > int(knee))))
    share = 1.0
    for k in range(1, 10):
        share *= (since + k) / (turn + k)
    return share * decay ** (until - turn)


def _static() -> str:
    from ..train.optim import ema_decay, lr_factor

    rows = []
    for name in ("paper", "cifar", "digits"):
        config, images = make_config(name), IMAGES["imagenet" if name == "paper" else name]
        steps = images // config.batch_size
        factor = lr_factor(config, steps)
        at = [config.peak_lr * factor(min(config.epochs * steps - 1, round(share * config.epochs * steps))) for share in (0, 0.1, 0.5, 1)]
        rows.append([name, config.optimizer, config.epochs, config.batch_size, f"{config.peak_lr:g}", config.schedule, *(f"{lr:.2g}" for lr in at)])
    header = ["Recipe", "Optimiser", "Epochs", "Batch", "Peak", "Schedule", "First step", "At 10 %", "At half", "Last step"]
    rates = table(header, rows, "The learning rate in three recipes")
    memory = table(
        ["EMA decay", "Horizon, steps", "Decay after 100 steps", "Of step 1, after 1,000 steps", "after 10,000", "after 100,000"],
        [
            [d, f"{1 / (1 - float(d)):,.0f}", f"{ema_decay(float(d), 100):.3f}"]
            + [f"{ema_remaining(float(d), 1, until):.1g}" for until in (1_000, 10_000, 100_000)]
            for d in DECAYS
        ],
        "What an exponential moving average remembers, with warm-up",
    )
    return rates + memory
