"""Labs: a few controls behind which Python runs, to build, to time and to train.

An explorer answers from figures that were counted beforehand. A lab computes when it is
asked, so it needs a kernel: Colab, JupyterLab, Notebook or VS Code. There it shows core
ipywidgets, in the API that versions 7 and 8 share. In the built book, which has no kernel,
the same object shows a picture of its first state and a link to the page's notebook in Colab.

This is a floor of its own: a lab may build models, which an explorer does not.
"""

import html
import importlib
import math
import os
import re
import time
from contextlib import contextmanager
from io import StringIO

from ..cost import count_cost
from ..records import recorded
from ..scaling import ALPHA, BETA, GAMMA, compound_scaling, real_number
from ..variants import get_variant, scale_variant
from .element import _file, table

#: Set where a page is made that no kernel stands behind: labs then show a picture.
STILL = "EFFNET_STILL"

#: Stands in a picture for the address of the page's notebook; whoever makes the page fills it in.
NOTEBOOK = "effnet:notebook"


class Lab:
    """Controls, and what Python makes of them. The last expression of a cell shows it.

    Attributes:
        title: what a screen reader calls it.
        view: the widget that holds the result; None where only a picture is shown.

    Raises:
        ImportError: ipywidgets, matplotlib or what else the lab needs is not installed; the
            message says what to install.
    """

    title = ""
    invitation = ""

    def __init__(self):
        _need("matplotlib")
        self.fault = ""
        self.view = self.box = None
        if not os.environ.get(STILL):
            widgets = _need("ipywidgets")
            self.view = widgets.HTML()
            row = widgets.HBox(self.controls(widgets), layout=widgets.Layout(flex_flow="row wrap"))
            self.box = widgets.VBox([row, self.view])
            self.refresh()

    def controls(self, widgets) -> list:
        """The lab's widgets, made with the module ``ipywidgets``."""
        raise NotImplementedError

    def state(self) -> str:
        """What is to be seen now, as HTML."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Show the state: one value is replaced, so nothing flickers and nothing stacks."""
        self.view.value = self.html()

    def html(self) -> str:
        """The state in a dress of its own, for a widget and a page alike."""
        fault = f'<p class="effnet-fault">{html.escape(self.fault)}</p>' if self.fault else ""
        return f'<div class="effnet-lab"><style>{_file("labs.css")}</style>{fault}{self.state()}</div>'

    def picture(self) -> str:
        """The state as HTML without controls, with a link where a notebook can be had."""
        return (
            f'<section class="effnet-lab-picture" aria-label="{html.escape(self.title)}: a picture">'
            f'<p class="effnet-lab-note"><b>{html.escape(self.title)}.</b> {self.invitation} '
            f'<a class="effnet-lab-link" href="{NOTEBOOK}">Open this chapter in Colab</a>, where it runs. '
            f"This is a picture of how it begins.</p>{self.html()}</section>"
        )

    def answer(self, work, button=None) -> None:
        """Do ``work`` and show what comes of it; a failure becomes a line in the lab."""
        self.fault = ""
        if button is not None:
            button.disabled = True
        try:
            work()
        except Exception as error:  # a traceback in a callback is shown nowhere in Colab
            self.fault = f"{type(error).__name__}: {error}".splitlines()[0]
        finally:
            if button is not None:
                button.disabled = False
            self.refresh()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if self.box is None:
            display({"text/html": self.picture(), "text/plain": repr(self)}, raw=True)
        else:
            display(self.box)

    def __repr__(self) -> str:
        return f"{self.title} (shows itself in a notebook)"


class PhiLab(Lab):
    """See :func:`phi_lab`."""

    title = "The φ lab"
    invitation = "Python builds the network at the φ that you set, and torchinfo describes it."
    low, high = -3.0, 7.0

    def __init__(self, phi: float):
        self.value = min(self.high, max(self.low, round(real_number("phi", phi), 1)))
        if abs(self.value - phi) > 0.05:
            raise ValueError(f"phi must be between {self.low:g} and {self.high:g} in this lab, got {phi:g}")
        _need("torchinfo")
        super().__init__()

    def controls(self, widgets) -> list:
        self.phi = widgets.FloatSlider(
            value=self.value, min=self.low, max=self.high, step=0.1, description="φ",
            readout_format=".1f", continuous_update=False, layout=widgets.Layout(width="min(32rem, 100%)"),
        )  # fmt: skip
        self.phi.observe(lambda change: self.answer(lambda: self.set(change["new"])), names="value")
        return [self.phi]

    def set(self, phi: float) -> None:
        self.value = round(phi, 1)

    def state(self) -> str:
        scaling, base = compound_scaling(self.value), get_variant("b0")
        variant = scale_variant(self.value)
        cost, before = count_cost(variant), count_cost(base)
        figure = _figures().draw_scaled(base, variant)
        alt = (
            f"Three small charts by stage, B0 dashed and the network at φ = {self.value:g} filled: layers, "
            "channels, and the side of the map that enters"
        )
        return (
            f"<p>φ = <b>{self.value:g}</b>: depth × {scaling.depth:.3f}, width × {scaling.width:.3f}, resolution "
            f"× {scaling.resolution:.3f}. Built: {variant.layers} blocks, {variant.resolution} pixels, "
            f"<b>{cost.parameters:,} parameters</b>, {cost.multiply_adds:,} multiply-adds, "
            f"{cost.multiply_adds / before.multiply_adds:.2f} × those of B0.</p>"
            + svg(figure, alt)
            + '<div class="effnet-lab-tables">'
            + "".join(_dimension_tables(base, variant, scaling, cost, before))
            + "</div>"
            + pre("torchinfo's summary of it, for one image", summarise(variant))
        )


def _dimension_tables(base, variant, scaling, cost, before):
    """What each multiplier asks for and what rounding makes of it: depth, width, resolution."""
    rows = list(zip(base.stages, variant.stages))
    names = [f"{row.stage} {row.operator}" for row in before.stages[1:-1]]
    yield table(
        ["Stage", "B0", f"× {scaling.depth:.3f}", "layers"],
        [[name, a.layers, f"{a.layers * scaling.depth:.2f}", b.layers] for name, (a, b) in zip(names, rows)],
        f"Depth: {ALPHA:g}^φ, rounded up",
    )
    channels = [("1 Stem", base.stem_channels, variant.stem_channels)]
    channels += [(name, a.channels, b.channels) for name, (a, b) in zip(names, rows)]
    channels += [("9 Head", base.head_channels, variant.head_channels)]
    yield table(
        ["Stage", "B0", f"× {scaling.width:.3f}", "channels"],
        [[name, a, f"{a * scaling.width:.1f}", b] for name, a, b in channels],
        f"Width: {BETA:g}^φ, to multiples of 8",
    )
    maps = [(f"into {row.stage}", row.resolution, now.resolution) for row, now in zip(before.stages, cost.stages)]
    first = f"{base.resolution * scaling.resolution:.1f}"
    yield table(
        ["Map", "B0", f"× {scaling.resolution:.3f}", "pixels"],
        [[name, a, first if i == 0 else "", b] for i, (name, a, b) in enumerate(maps)],
        f"Resolution: {GAMMA:g}^φ, to whole pixels",
    )


def phi_lab(phi: float = 1.5) -> Lab:
    """One slider, φ, and the network that it makes: what is asked for, what is built, torchinfo's summary.

    Three tables show the exact product and the rounded value of depth, width and resolution.
    The network is built as its layers and shapes alone (on torch's ``meta`` device), so that
    the largest takes a second and no memory.

    Args:
        phi: where the slider stands at first, from −3 to 7.

    Returns:
        A lab; ``phi`` is its slider.

    Raises:
        TypeError, ValueError: ``phi`` is no number between −3 and 7.
        ImportError: ipywidgets, matplotlib or torchinfo is not installed.
    """
    return PhiLab(phi)


def summarise(variant) -> str:
    """torchinfo's summary of ``variant`` for one image of its own size."""
    import torch
    from torchinfo import summary

    from ..model import build_model

    with torch.device("meta"):  # shapes only: nothing is computed, whatever the size
        model = build_model(variant)
        report = summary(
            model, input_data=torch.empty(1, 3, variant.resolution, variant.resolution), device="meta",
            mode="eval", depth=2, col_names=("output_size", "num_params"), col_width=19,
            row_settings=("var_names",), verbose=0,
        )  # fmt: skip
    # On Python 3.11 and later torchinfo prints the name of its own enumeration.
    return re.sub(r"\(Units\.(\w)\w+\)", r"(\1)", str(report))


class SpeedLab(Lab):
    """See :func:`speed_lab`."""

    title = "The speed lab"
    invitation = "Python folds a network's batch norms and times it, before and after, on the machine that runs it."
    networks = ("b0", "b1", "b2", "lite0", "v2_b0")
    rounds = 7

    def __init__(self):
        import torch

        self.devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
        self.result: dict | None = None
        super().__init__()

    def controls(self, widgets) -> list:
        narrow, style = widgets.Layout(width="14rem"), {"description_width": "initial"}

        def choice(description, options):
            return widgets.Dropdown(description=description, options=options, style=style, layout=narrow)

        self.network = choice("network", [(name.upper().replace("_", "-"), name) for name in self.networks])
        self.batch = choice("images at once", [1, 4, 8])
        self.device = choice("device", [("this processor", "cpu"), ("the GPU", "cuda")][: len(self.devices)])
        self.button = widgets.Button(description="Fold and time it", button_style="primary")
        self.button.on_click(lambda button: self.answer(self.measure, button))
        return [self.network, self.batch, self.device, self.button]

    def measure(self) -> None:
        """Build, fold, compare the outputs, and time both in turns."""
        import torch
        from torch import nn

        from ..bench import summarise, take_turns
        from ..deploy import optimize_for_inference
        from ..model import build_model

        torch.manual_seed(0)
        variant, device = get_variant(self.network.value), torch.device(self.device.value)
        model = build_model(variant).eval().to(device)
        images = torch.randn(self.batch.value, 3, variant.resolution, variant.resolution, device=device)
        with torch.inference_mode():
            fast = optimize_for_inference(model)
            expected, got = model(images), fast(images)
            turns = {"as built": lambda: model(images), "optimised": lambda: fast(images)}
            seconds = take_turns(turns, self.rounds, device=device)

        def norms(network):
            return sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())

        self.result = {
            "network": variant.name,
            "resolution": variant.resolution,
            "batch": self.batch.value,
            "threads": torch.get_num_threads() if device.type == "cpu" else None,
            "difference": float((got - expected).abs().max() / expected.abs().max()),
            "norms": (norms(model), norms(fast)),
            "rows": summarise(seconds, "as built"),
        }

    def state(self) -> str:
        if self.result is None:
            return self.recorded_state()
        found = self.result
        threads = f", {_plural(found['threads'], 'thread')}" if found["threads"] else " on the GPU"
        text = (
            f"<p>{_name(found['network'])}, {_plural(found['batch'], 'image')} of {found['resolution']} pixels at once"
            f"{threads}, this machine: medians of {self.rounds} turns each. Batch norms: {found['norms'][0]} "
            f"as built, {found['norms'][1]} optimised. The outputs differ by at most {found['difference']:.0e} of "
            "the largest.</p>"
        )
        return text + self.times(found["rows"], "Measured here")

    def recorded_state(self) -> str:
        cases = recorded("inference-xeon-one-thread")["cases"]
        case = next(case for case in cases if (case["variant"], case["batch_size"]) == ("b0", 1))
        names = {"effnet_lib": "as built", "effnet_lib optimised": "optimised"}
        rows = {
            names[row["implementation"]]: row | {"ratio": row["ratio_to_ours"]}
            for row in case["results"]
            if row["implementation"] in names
        }
        text = (
            f"<p>Recorded: {_name(case['variant'])}, {_plural(case['batch_size'], 'image')} of {case['resolution']} "
            f"pixels at once, {_plural(case['threads'], 'thread')} of an {case['device']}. Your machine is another: "
            "measure it.</p>"
        )
        return text + self.times(rows, "Recorded")

    def times(self, rows: dict, caption: str) -> str:
        cells = [
            [name, f"{1e3 * row['seconds']:.1f} ms"]
            + [" to ".join(f"{1e3 * value:.1f}" for value in row["seconds_quartiles"])]
            + [f"{row['ratio']:.2f}"]
            for name, row in rows.items()
        ]
        alt = "Bars: " + ", ".join(f"{name} {1e3 * row['seconds']:.1f} milliseconds" for name, row in rows.items())
        return svg(_figures().draw_times(rows), alt) + table(
            ["Network", "Median", "Middle half, ms", "Times as fast"], cells, caption
        )


def speed_lab() -> Lab:
    """Fold a network's batch norms, see that it still gives the same outputs, and time both.

    It begins with recorded figures; the button measures the machine that it runs on: the
    network as built and after :func:`effnet_lib.optimize_for_inference`, in turns.

    Returns:
        A lab with the controls ``network``, ``batch``, ``device`` and ``button``.

    Raises:
        ImportError: ipywidgets or matplotlib is not installed.
    """
    return SpeedLab()


class TrainingLab(Lab):
    """See :func:`training_lab`."""

    title = "The training lab"
    invitation = "Python trains a small network for a few steps, with the optimiser and learning rate that you set."
    optimizers = (("SGD with momentum", "sgd"), ("RMSProp as in TensorFlow", "rmsprop_tf"), ("AdamW", "adamw"))
    first = 0.1, 30  # learning rate and steps of the run that it begins with
    batch = 32
    kept = 4
    every = 0.4  # seconds between two looks at the loss

    def __init__(self):
        _need("sklearn", "scikit-learn")
        _need("torchvision")
        from ..train import load_data, make_config

        self.data = load_data(make_config("digits"))
        self.runs: list[dict] = []
        super().__init__()
        first = self.optimizers[0][1], *self.first
        if self.view is None:
            self.train(*first)
        else:
            self.answer(lambda: self.train(*first))

    def controls(self, widgets) -> list:
        style = {"description_width": "initial"}
        self.optimizer = widgets.Dropdown(
            options=self.optimizers, description="optimiser", style=style, layout=widgets.Layout(width="19rem")
        )
        self.lr = widgets.FloatLogSlider(
            value=self.first[0], base=10, min=-4, max=1, step=0.25, description="learning rate", readout_format=".2g",
            continuous_update=False, style=style, layout=widgets.Layout(width="22rem"),
        )  # fmt: skip
        self.steps = widgets.IntSlider(
            value=self.first[1], min=10, max=200, step=10, description="steps", continuous_update=False, style=style,
            layout=widgets.Layout(width="20rem"),
        )  # fmt: skip
        self.button = widgets.Button(description="Train", button_style="primary")
        self.clear = widgets.Button(description="Clear")
        self.button.on_click(
            lambda button: self.answer(
                lambda: self.train(self.optimizer.value, self.lr.value, self.steps.value), button
            )
        )
        self.clear.on_click(lambda button: self.answer(self.runs.clear))
        return [self.optimizer, self.lr, self.steps, self.button, self.clear]

    def train(self, optimizer: str, lr: float, steps: int) -> None:
        """One run from fresh weights; its loss is shown while it falls, or does not."""
        import torch
        from torch.nn import functional as F

        from ..model import build_model
        from ..train import make_config
        from ..train.config import make_variant
        from ..train.optim import make_optimizer

        # The learning rate as it is set, whatever the batch.
        changes = {"optimizer": optimizer, "lr": float(lr), "lr_batch": 0, "batch_size": self.batch}
        config = make_config("digits", changes)
        device = "cuda" if torch.cuda.is_available() else "cpu"

        def images(split, which):
            chosen = split.images[which].to(device).float()
            return (chosen - self.data.mean[0]) / self.data.std[0]

        # So little work gains nothing from more threads; the reader's random numbers stay theirs.
        with _threads(1), torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(config.seed)
            model = build_model(
                make_variant(config.variant), len(self.data.classes), self.data.channels,
                output_stride=config.output_stride, norm_momentum=config.norm_momentum,
            ).to(device)  # fmt: skip
            moves = make_optimizer(model, config)
            run = {"optimizer": optimizer, "lr": float(lr), "losses": [], "accuracy": None}
            self.runs = [*self.runs[-(self.kept - 1) :], run]
            shown = time.perf_counter()
            for _ in range(steps):
                batch = torch.randint(len(self.data.train), (config.batch_size,))
                labels = self.data.train.labels[batch].to(device)
                loss = F.cross_entropy(model(images(self.data.train, batch)), labels)
                run["losses"].append(loss.item())
                if not math.isfinite(run["losses"][-1]):
                    return  # diverged: the rest would be the same
                loss.backward()
                moves.step()
                moves.zero_grad()
                if self.view is not None and time.perf_counter() - shown > self.every:
                    self.refresh()
                    shown = time.perf_counter()
            with torch.inference_mode():
                validation = self.data.validation
                logits = model.eval()(images(validation, slice(None)))
                right = logits.argmax(1).cpu() == validation.labels
            run["accuracy"] = float(right.float().mean())

    def state(self) -> str:
        if not self.runs:
            return "<p>No run yet: press Train.</p>"
        names = {value: name for name, value in self.optimizers}
        rows = [
            [f"{i}  {names[run['optimizer']]}", f"{run['lr']:.2g}", len(run["losses"])]
            + [_loss(run["losses"][0]), _loss(run["losses"][-1]), self.verdict(run)]
            for i, run in enumerate(self.runs, 1)
        ]
        alt = "Loss by step: " + "; ".join(f"run {row[0]}, from {row[3]} to {row[4]}" for row in rows)
        chance = math.log(len(self.data.classes))
        return (
            f"<p>A network of φ = −8 on handwritten digits of 16 pixels, {self.batch} at a time, always from the same fresh "
            f"weights. Guessing alone gives a loss of ln 10 = {chance:.2f}.</p>"
            + svg(_figures().draw_losses(self.runs, names, chance), alt)
            + table(["Run", "Learning rate", "Steps", "First loss", "Last loss", "Right in validation"], rows, "Runs")
        )

    @staticmethod
    def verdict(run: dict) -> str:
        if run["accuracy"] is not None:
            return f"{run['accuracy']:.1%}"
        return "diverged" if run["losses"] and not math.isfinite(run["losses"][-1]) else "…"


def training_lab() -> Lab:
    """Train a small network on real digits for some steps, and watch the loss.

    The last four runs stay in the figure, to compare. Every run begins with the same weights
    and sees the same batches, and leaves the reader's random numbers as they were.

    Returns:
        A lab with the controls ``optimizer``, ``lr``, ``steps``, ``button`` and ``clear``;
        ``runs`` holds what came out.

    Raises:
        ImportError: ipywidgets, matplotlib or scikit-learn is not installed.
    """
    return TrainingLab()


# What all labs show ------------------------------------------------------------------------


def svg(figure, alt: str) -> str:
    """A matplotlib figure as HTML that takes the colour of the text around it.

    It stands in the text itself, not in a picture that a browser must fetch or decode: it
    changes without a flash, and its neutral lines are light where the page is dark.
    """
    from .figures import COLORS, STYLE

    import matplotlib

    sink = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": STYLE["svg.hashsalt"]}):
        figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None})
    drawing = sink.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>\s*", "", drawing, flags=re.S)
    for name, colour in COLORS.items():
        ours = "currentColor" if name == "ink" else f"var(--effnet-{name.replace('soft', 'ink-soft')}, {colour})"
        drawing = drawing.replace(colour, ours)
    drawing = drawing.replace(STYLE["grid.color"], "#80808050")  # faint on light and on dark
    drawing = re.sub(r"\s*\n\s*", "\n", drawing)
    label = html.escape(alt, quote=True)
    drawing = re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', drawing, count=1)
    return f'<div class="effnet-lab-figure" role="region" tabindex="0" aria-label="Figure">{drawing}</div>'


def pre(label: str, text: str) -> str:
    """Text in a box that scrolls by itself."""
    label = html.escape(label)
    return (
        f'<p class="effnet-lab-label">{label}</p>'
        f'<pre role="region" tabindex="0" aria-label="{label}">{html.escape(text)}</pre>'
    )


@contextmanager
def _threads(count: int):
    """So many threads of torch's, and afterwards as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _loss(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "not a number"


def _name(variant: str) -> str:
    return variant.upper().replace("_", "-")


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" + ("s" if count != 1 else "")


def _figures():
    """The module of the labs' figures, which needs matplotlib."""
    return importlib.import_module(".figures_labs", __package__)


def _need(module: str, package: str | None = None):
    """The module of that name.

    Raises:
        ImportError: it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package = package or module
        raise ImportError(f"this lab needs {package}: pip install {package}", name=module) from None
