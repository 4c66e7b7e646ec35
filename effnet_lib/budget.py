"""What a training run takes in hours, in money, and in disks that can keep up.

Throughput and prices are the caller's: they differ from machine to machine and from month to
month. Nothing here needs more than the standard library.
"""

import math
from dataclasses import dataclass

#: Images of ImageNet's training set (ILSVRC 2012). Source: Russakovsky et al. 2015, Table 2.
IMAGENET_TRAIN = 1_281_167


@dataclass(frozen=True)
class TrainingBudget:
    """What a run takes, from :func:`training_budget`.

    Attributes:
        images: seen in all, each epoch's counted again.
        images_per_second: of all GPUs together, losses included.
        hours: on the clock.
        gpu_hours: hours × GPUs: what is paid for.
        cost: gpu_hours × price, in the unit of the price.
        disk_bytes: that the training images take.
        read_bytes_per_second: that the disks must deliver so that no GPU waits.
        multiply_adds_per_second: arithmetic of one GPU at its own rate, with a training step counted as
            three forward passes (one for the output, two for the gradients); None where the
            network's cost was not given. Data sheets count operations, of which each has two.
    """

    images: int
    images_per_second: float
    hours: float
    gpu_hours: float
    cost: float
    disk_bytes: float
    read_bytes_per_second: float
    multiply_adds_per_second: float | None = None

    @property
    def operations_per_second(self) -> float | None:
        """``multiply_adds_per_second`` under its former name, which said operations and meant multiply-adds."""
        return self.multiply_adds_per_second


def training_budget(
    images_per_second: float,
    gpus: int = 1,
    epochs: int = 350,
    price: float = 0.0,
    *,
    loss: float = 0.0,
    images: int = IMAGENET_TRAIN,
    bytes_per_image: float = 0.0,
    multiply_adds: int | None = None,
) -> TrainingBudget:
    """Hours, money and disks of a training run, without validation and interruptions.

    Args:
        images_per_second: that one GPU trains on, measured alone.
        gpus: that share each batch.
        epochs: passes over the images.
        price: of one GPU for an hour, in any currency.
        loss: share of the rate that each doubling of the GPUs loses, from 0 to below 1.
        images: in the training set; ImageNet's if not given.
        bytes_per_image: mean size of a file.
        multiply_adds: of one forward pass for one image, as :func:`effnet_lib.count_cost` counts.

    Raises:
        ValueError: a value is not a finite number of the kind and range above.

    >>> budget = training_budget(1000, gpus=8, epochs=350, price=2)
    >>> round(budget.hours, 1), round(budget.cost)
    (15.6, 249)
    """
    for name, value, low in (
        ("images_per_second", images_per_second, None), ("gpus", gpus, 1), ("epochs", epochs, 1),
        ("price", price, 0), ("images", images, 1), ("bytes_per_image", bytes_per_image, 0),
    ):  # fmt: skip
        whole = name in ("gpus", "epochs", "images")
        number = not isinstance(value, bool) and isinstance(value, int if whole else (int, float))
        if not number or not math.isfinite(value) or (value < low if low is not None else value <= 0):
            limit = "above 0" if low is None else f"of at least {low}"
            raise ValueError(f"{name} must be a {'whole ' * whole}number {limit}, got {value!r:.60}")
    if isinstance(loss, bool) or not isinstance(loss, (int, float)) or not 0 <= loss < 1:
        raise ValueError(f"loss must be a number from 0 to below 1, got {loss!r:.60}")
    together = images_per_second * gpus * (1 - loss) ** math.log2(gpus)
    seen = images * epochs
    hours = seen / together / 3600
    return TrainingBudget(
        images=seen,
        images_per_second=together,
        hours=hours,
        gpu_hours=hours * gpus,
        cost=hours * gpus * price,
        disk_bytes=images * bytes_per_image,
        read_bytes_per_second=together * bytes_per_image,
        multiply_adds_per_second=None if multiply_adds is None else 3 * multiply_adds * images_per_second,
    )
