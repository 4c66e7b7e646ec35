"""Figures of the chapter on the MBConv block. They need matplotlib, which brings numpy."""

import numpy as np
from matplotlib.figure import Figure

from .figures import COLORS, house_style


def plot_lost_to_relu(widths: tuple[int, ...] = (2, 3, 5, 15, 30), seed: int = 76) -> Figure:
    """A spiral sent through a random layer with ReLU, and the best that can be made of what is left.

    Each point of the plane becomes ``width`` channels, of which ReLU keeps the positive ones.
    Two of them say where the point was; a point with fewer cannot be told from others, and
    is put where least squares puts it.

    After Sandler et al. 2018, arXiv:1801.04381, Figure 1, with a decoder that loses nothing
    but what ReLU has lost.
    """
    angle = np.linspace(0.3, 4.4 * np.pi, 700)
    points = (angle * np.stack([np.cos(angle), np.sin(angle)])).T / angle.max()
    with house_style():
        figure = Figure(figsize=(7, 4.9))
        cells = figure.subplots(2, 3).flat
        for cell, width in zip(cells, (None, *widths)):
            decoded, lost = (points, np.zeros(len(points), bool)) if width is None else _through(points, width, seed)
            cell.scatter(*decoded[~lost].T, s=3, color=COLORS["depth"], linewidths=0)
            cell.scatter(*decoded[lost].T, s=3, color=COLORS["width"], linewidths=0)
            title = "the input" if width is None else f"{width} channels: {lost.mean():.0%} lost"
            cell.set_title(title, fontsize=10, color=COLORS["ink"])
            cell.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=[], yticks=[], aspect="equal")
            cell.spines[:].set_visible(False)
            cell.grid(False)
    return figure


def _through(points: np.ndarray, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What least squares recovers of (N, 2) points from ReLU(points · T), and which are lost."""
    layer = np.random.default_rng(seed).standard_normal((2, width))
    seen = np.maximum(points @ layer, 0)
    active = seen > 0
    decoded = [
        np.linalg.lstsq(layer[:, on].T, values[on], rcond=None)[0] if on.any() else np.zeros(2)
        for values, on in zip(seen, active)
    ]
    return np.array(decoded), active.sum(1) < 2


def plot_activation_functions() -> Figure:
    """SiLU, ReLU and ReLU6, and their slopes."""
    x = np.linspace(-6, 8, 561)
    gate = 1 / (1 + np.exp(-x))
    curves = {
        # A wide pale band beneath, or ReLU6 and SiLU would hide it where the three agree.
        "ReLU": (np.maximum(x, 0), x > 0, {"color": COLORS["soft"], "linewidth": 5, "alpha": 0.45}),
        "SiLU": (x * gate, gate + x * gate * (1 - gate), {"color": COLORS["depth"]}),
        "ReLU6": (np.clip(x, 0, 6), (x > 0) & (x < 6), {"color": COLORS["width"], "linestyle": "--"}),
    }
    with house_style():
        figure = Figure(figsize=(7, 2.9))
        value, slope = figure.subplots(1, 2)
        for name, (y, dy, style) in curves.items():
            value.plot(x, y, label=name, **style)
            slope.plot(x, dy, label=name, **style)
        value.set(xlabel="x", ylabel="activation(x)", xlim=(-6, 8))
        slope.set(xlabel="x", ylabel="its slope", xlim=(-6, 8))
        value.legend(loc="upper left")
    return figure
