"""Real pictures that come with packages."""

from pathlib import Path

import matplotlib
import skimage
import sklearn

_SKIMAGE = Path(skimage.__file__).parent / "data"
_SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"

PICTURES = {
    path.stem: path
    for path in (
        Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg",
        _SKLEARN / "china.jpg", _SKLEARN / "flower.jpg",
        _SKIMAGE / "chelsea.png", _SKIMAGE / "coffee.png", _SKIMAGE / "rocket.jpg", _SKIMAGE / "astronaut.png",
    )
}  # fmt: skip
