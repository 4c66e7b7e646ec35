"""Explorers and labs where readers run them: in JupyterLab and in Notebook 7, in a real browser."""

from __future__ import annotations

import functools
import html
import re
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace

import nbformat
import pytest
import readers
import torch
from playwright.sync_api import expect

import effnet_lib
from effnet_lib import build_model, count_cost, get_variant, scale_by, scale_variant, training_lab
from effnet_lib.explore import depth, family
from effnet_lib.explore.labs import STILL
from effnet_lib.train.progressive import EPOCHS, progressive_stages, stage_at

from . import test_block_explorers as block
from . import test_network_explorer as network
from . import test_recipe_explorers as recipe
from . import test_roofline_explorer as roofline
from . import test_se_explorers as se
from . import test_training_explorers as training

explorer_of = functools.cache(lambda name: getattr(effnet_lib, name)())  # some draw pictures first
EXPLORERS = [name for name in effnet_lib._PUBLIC["explore"] if name.endswith("_explorer")]
CELLS = [f"from effnet_lib import {name}\n{name}()" for name in EXPLORERS]
CELLS += ["from effnet_lib import phi_lab\nphi_lab(0)", "from effnet_lib import training_lab\ntraining_lab()"]
CELLS += ["from effnet_lib import speed_lab\nspeed_lab()"]
#: The name of its application, and where it opens a notebook.
FRONTS = {"jupyterlab": ("LabApp", "lab/tree"), "notebook": ("JupyterNotebookApp", "notebooks")}
#: What the applications themselves have to say, whatever stands in a notebook.
THEIR_OWN = r"Failed to load resource.*(?:404|403)|Notification permission|service worker"
PATIENCE = 120_000  # milliseconds; a server and a kernel start meanwhile


@pytest.fixture(scope="module", params=FRONTS)
def front(request, tmp_path_factory):
    """The address of a running server's page with the notebook."""
    folder = tmp_path_factory.mktemp(request.param)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, folder / "explorers.ipynb")
    app, path = FRONTS[request.param]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", request.param,
        "--no-browser", "--allow-root", f"--port={port}", f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=",
        f"--{app}.expose_app_in_browser=True", "--ServerApp.port_retries=0",
    ]  # fmt: skip
    log = open(folder / "server.log", "w")
    env = readers.environment(folder, PYTHONPATH=str(readers.ROOT), OMP_NUM_THREADS="1")
    server = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(address + "api", timeout=5)
                break
            except OSError:
                assert server.poll() is None, (folder / "server.log").read_text()
                time.sleep(0.2)
        yield f"{address}{path}/explorers.ipynb"
    finally:
        # Told to stop while it writes to its log, it may forget it. The kernel ends when its server is gone.
        server.kill()
        server.wait()
        log.close()


@pytest.fixture(scope="module")
def opened(front, browser):
    """The notebook, all its cells run; and all that the console was told since."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.goto(front)
    page.wait_for_function("window.jupyterapp && document.querySelectorAll('.jp-CodeCell').length > 3")
    page.wait_for_function("document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'")
    # What is run before the session stands is forgotten.
    page.evaluate("""async () => {
      const {context, sessionContext} = jupyterapp.shell.currentWidget;
      await context.ready;
      await sessionContext.ready;
      await sessionContext.session.kernel.info;
    }""")
    # From here on; what the application had to say while it started is its own.
    said = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(f"script error: {error}"))
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    expect(page.locator(".effnet-explorer[data-live]")).to_have_count(len(EXPLORERS), timeout=PATIENCE)
    expect(page.locator(".widget-html .effnet-lab, .jupyter-widgets .effnet-lab")).to_have_count(3, timeout=PATIENCE)
    yield page, said
    page.close()


def test_every_explorer_is_live(opened):
    page, _ = opened
    for explorer in page.locator(".effnet-explorer").all():
        explorer.scroll_into_view_if_needed()
        assert explorer.locator(".effnet-live").is_visible()
        assert not explorer.locator(".effnet-static").is_visible()


def still_box(locator):
    """Where it is, scrolled into view, once the outputs around it have stopped moving it."""
    before, box = None, {}
    while box != before:
        locator.scroll_into_view_if_needed()
        before = locator.bounding_box()
        locator.page.wait_for_timeout(200)
        box = locator.bounding_box()
    return box


def drag(page, slider) -> None:
    """By the mouse along its track, to six tenths of it."""
    box = still_box(slider)
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 14, middle)
    page.mouse.down()
    for share in (0.2, 0.4, 0.6):
        page.mouse.move(box["x"] + share * box["width"], middle)
    page.mouse.up()
    share = slider.evaluate("(range) => (range.value - range.min) / (range.max - range.min)")
    assert 0.4 < share < 0.8


def counted(cost, *fields) -> dict:
    return {field: getattr(cost, field) for field in fields}


def block_rows(state) -> dict:
    return {kind: block.block.cost_at(state, kind).parameters for kind in block.block.KINDS}


def gates_text(state) -> str:
    shown = explorer_of("gates_explorer").data["blocks"][state["gates_block"] - 1]
    return f"Block {state['gates_block']} has {shown['channels']} gates"


def family_text(state) -> str:
    axis = next(axis for axis in family.AXES if axis[0] == state["fam_axis"])
    best = family.choose(family.points(state["fam_view"], axis[0]), state["fam_budget"] * axis[3])[0]
    return f"{family.display_name(best)}: {family.seen(best, state['fam_view'])[0].top1:.1f} %"


def training_cards(state) -> dict:
    epoch = explorer_of("training_explorer").data["epochs"][state["tr_epoch"] - 1]
    return {"tr_train": epoch["train_loss"], "tr_validation": epoch["validation_loss"], "tr_right": epoch["right"]}


def progressive_size(state) -> dict:
    stages = progressive_stages(
        state["prog_variant"], state["prog_rule"], stages=state["prog_stages"],
        first_resolution=state["prog_first"], last_resolution=state["prog_last"],
    )  # fmt: skip
    return {"prog_size": stage_at(stages, state["prog_epoch"] - 1, EPOCHS).resolution}


def augmentation_text(state) -> str:
    return explorer_of("augmentation_explorer").data["ways"][state["ag_way"]]["levels"][state["ag_level"]]


def inside_text(state) -> str:
    place = explorer_of("inside_explorer").data["places"][state["in_stage"] - 1]
    return f"Channel {place['shown'][int(state['in_channel'])]} of {place['name']} ({place['operator']})"


#: Of each explorer a slider, and what the library makes of the state: figures by their fields, or words.
SHOWN = {
    "augmentation_explorer": ("ag_level", augmentation_text),
    "block_explorer": ("mb_in", block_rows),
    "budget_explorer": ("bud_gpus", training.expected),
    "dimensions_explorer": ("dim_depth", lambda s: counted(
        count_cost(scale_by(depth=s["dim_depth"], width=s["dim_width"], resolution=s["dim_resolution"])), "parameters", "multiply_adds", "activations")),
    "family_explorer": ("fam_budget", family_text),
    "gates_explorer": ("gates_block", gates_text),
    "inside_explorer": ("in_stage", inside_text),
    "live_explorer": ("resolution", lambda s: {"cost": count_cost(replace(get_variant("lite0"), resolution=s["resolution"])).multiply_adds}),
    "network_explorer": ("walk_step", lambda s: dict(zip(network.COUNTS, network.steps(s["walk_network"])[s["walk_step"]][1]))),
    "phi_explorer": ("phi", lambda s: counted(count_cost(scale_variant(s["phi"])), "parameters", "multiply_adds")),
    "progressive_explorer": ("prog_epoch", progressive_size),
    "recipe_explorer": ("rx_at", lambda s: dict(zip(("rx_peak", "rx_rate", "rx_steps"), recipe.expected(s)))),
    "roofline_explorer": ("roof_batch", lambda s: {"seconds": roofline.computed(s).seconds}),
    "se_explorer": ("se_channels", lambda s: dict(zip(("se_parameters", "se_multiply_adds"), se.se_cost(
        s["se_channels"], int(s["se_expansion"]), int(s["se_ratio"]), s["se_base"])))),
    "stochastic_depth_explorer": ("sd_rate", lambda s: {"sd_depth": depth.expected_depth(s["sd_rate"]), "sd_expected": depth.expected(s["sd_rate"], s["sd_way"])}),
    "training_explorer": ("tr_epoch", training_cards),
}  # fmt: skip

READ = """(explorer) => Object.fromEntries([
  ...[...explorer.querySelectorAll("output[data-field]")].map((out) => [out.dataset.field, Number(out.dataset.value)]),
  ...[...explorer.querySelectorAll("tr[data-kind]")].map((row) => [row.dataset.kind, Number(row.querySelector("td").dataset.value)]),
])"""


@pytest.mark.parametrize("name", EXPLORERS)
def test_an_explorer_follows_the_hand(opened, name):
    """Dragged with the mouse; what it shows then is what the library counts."""
    page, _ = opened
    slider, library = SHOWN[name]
    explorer = page.locator(explorer_of(name).tag)
    drag(page, explorer.locator(f"input[type=range][name={slider}]"))
    expected = library(explorer.evaluate("(explorer) => explorer.state"))
    if isinstance(expected, str):
        assert expected in explorer.inner_text()
    else:
        shown = explorer.evaluate(READ)
        assert {field: shown[field] for field in expected} == pytest.approx(expected, rel=1e-9)


def lab(page, words: str):
    return page.locator(".jp-OutputArea-output, .output_area", has=page.locator(".effnet-lab", has_text=words)).last


def drag_widget(page, box, share: float) -> None:
    """The handle of a slider of ipywidgets, to a share of its track."""
    handle = box.locator(".noUi-handle")
    place, track = still_box(handle), box.locator(".noUi-target").bounding_box()
    y = place["y"] + place["height"] / 2
    page.mouse.move(place["x"] + place["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(track["x"] + share * track["width"], y, steps=5)
    page.mouse.up()


def test_the_phi_lab_follows_the_hand(opened):
    page, _ = opened
    box = lab(page, "torchinfo's summary")
    drag_widget(page, box, 0.6)
    phi = float(box.locator(".widget-readout").inner_text())
    assert 2.5 < phi < 3.5  # from −3 to 7
    cost = count_cost(scale_variant(phi))
    expect(box.locator(".effnet-lab")).to_contain_text(f"{cost.parameters:,} parameters", timeout=PATIENCE)
    assert f"Total params: {cost.parameters:,}" in box.locator("pre").inner_text()
    assert box.locator(".effnet-lab svg").count() == 1 and box.locator(".effnet-lab").count() == 1  # nothing piles up


def test_the_training_lab_trains(opened, monkeypatch):
    """As many steps as its slider is dragged to; what comes out is what the library makes of them here."""
    page, _ = opened
    box = lab(page, "Guessing alone")
    runs = box.locator("tbody tr")
    before = runs.count()
    steps = box.locator(".widget-slider", has_text="steps")
    drag_widget(page, steps, 0.15)
    count = int(steps.locator(".widget-readout").inner_text())
    assert 30 < count <= 60  # from 10 to 200, and from 30 at first
    box.get_by_role("button", name="Train").click()
    expect(runs).to_have_count(before + 1, timeout=PATIENCE)
    expect(runs.last).to_contain_text("%", timeout=PATIENCE)
    monkeypatch.setenv(STILL, "1")
    here = training_lab()
    here.train(here.optimizers[0][1], here.first[0], count)
    assert runs.last.locator("td").all_inner_texts() == re.findall("<td>(.*?)</td>", here.state())[-5:]
    assert box.locator(".effnet-lab svg").count() == 1
    box.get_by_role("button", name="Clear").click()
    expect(page.locator(".effnet-lab", has_text="No run yet")).to_be_visible(timeout=PATIENCE)


def test_the_speed_lab_measures(opened):
    page, _ = opened
    box = lab(page, "Recorded")
    box.locator("select").first.select_option("LITE0")
    box.get_by_role("button", name="Fold and time it").click()
    shown = page.locator(".effnet-lab", has_text="Measured here")
    expect(shown).to_contain_text(f"LITE0, 1 image of {get_variant('lite0').resolution} pixels", timeout=PATIENCE)
    norms = sum(isinstance(module, torch.nn.BatchNorm2d) for module in build_model("lite0").modules())
    expect(shown).to_contain_text(f"Batch norms: {norms} as built, 0 optimised")


def test_the_console_stays_silent(opened):
    _, said = opened
    assert [text for text in said if not re.search(THEIR_OWN, text)] == []


@pytest.mark.parametrize("name", EXPLORERS)
def test_explorers_live_in_a_frame_of_their_own(browser, tmp_path, name):
    """As in Colab and VS Code: the output alone in a frame that may run scripts and nothing else."""
    shown = explorer_of(name)._repr_html_()
    page = browser.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    page.set_content(
        '<iframe sandbox="allow-scripts" style="width:900px;height:1500px" '
        f'srcdoc="{html.escape("<!doctype html><body>" + shown, quote=True)}"></iframe>'
    )
    inside = page.frame_locator("iframe")
    explorer = inside.locator(".effnet-explorer[data-live]")
    expect(explorer).to_have_count(1)
    before = explorer.locator(".effnet-live").inner_html()
    slider = explorer.locator("input[type=range]").first
    slider.focus()
    page.keyboard.press("End" if slider.input_value() != slider.get_attribute("max") else "Home")
    page.wait_for_timeout(400)  # the address, which such a frame cannot keep, is written a little later
    assert explorer.locator(".effnet-live").inner_html() != before
    assert said == []
    page.close()
