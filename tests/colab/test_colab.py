"""The notebooks in a stand-in for Colab's runtime (``make colab``): its widgets, its IPython, nothing of ours.

The first cell installs the library from the project's address, at its tag, as it will for a
reader. For these tests that address leads to a copy of the present sources.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import nbformat
import pytest
import readers
import yaml

import effnet_lib
from tools.colab import ensure_colab

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(ROOT.glob("chapters/*.ipynb"))
VERSION = effnet_lib.__version__
ADDRESS = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["repository"]["url"]
DRIVE = Path(__file__).with_name("drive_labs.py")


@pytest.fixture(scope="session")
def colab() -> Path:
    return ensure_colab()


@pytest.fixture(scope="session")
def upstream(tmp_path_factory) -> Path:
    """A repository of the present sources, with the tag that the notebooks install."""
    project = readers.copy_project(tmp_path_factory.mktemp("upstream"))
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"], ["tag", f"v{VERSION}"]):
        subprocess.run(["git", *identity, *command], cwd=project, check=True, capture_output=True)
    return project


def lead(env: dict[str, str], address: str, to: Path) -> dict[str, str]:
    """An environment in which git finds at ``address`` what lies at ``to``."""
    return env | {
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{to.as_uri()}.insteadOf", "GIT_CONFIG_VALUE_0": address,
        "GIT_TERMINAL_PROMPT": "0",
    }  # fmt: skip


def first_cell_twice(path: Path) -> Path:
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    cell = notebook.cells[1]
    again = cell.copy() | {"id": "again"}
    notebook.cells = [cell, nbformat.from_dict(again)]
    nbformat.write(notebook, path)
    return path


@pytest.fixture(scope="session")
def runtime(colab, upstream, tmp_path_factory):
    """The stand-in after the first cell has run in it, twice, as a reader may."""
    folder = tmp_path_factory.mktemp("first")
    env = readers.environment(folder)
    pip = [str(colab), "-m", "pip", "-q"]
    subprocess.run([*pip, "uninstall", "-y", "effnet_lib", "torchinfo"], env=env, check=True, capture_output=True)
    before = freeze(colab, env)

    nowhere = lead(env, ADDRESS, folder / "nowhere")
    path = first_cell_twice(folder / "first.ipynb")
    failed, _ = readers.run_notebook(colab, path, folder, nowhere, must_pass=False)
    assert freeze(colab, env) == before
    (error,) = [out for out in failed.cells[0].outputs if out.output_type == "error"]
    assert len(error.traceback) == 1
    assert error.traceback[0].startswith("Not installed: torchinfo, effnet_lib. See pip")
    assert failed.cells[1].outputs == []

    ran, _ = readers.run_notebook(colab, path, folder, lead(env, ADDRESS, upstream))
    first, second = ("".join(out.get("text", "") for out in cell.outputs) for cell in ran.cells)
    assert f"Installed: effnet_lib {VERSION}, torchinfo " in first
    assert second == f"effnet_lib {VERSION} is here already: nothing to install\n"
    added = set(freeze(colab, env)) - set(before)
    assert {line.split("==")[0].split(" @")[0] for line in added} == {"effnet_lib", "torchinfo"}
    assert set(before) <= set(freeze(colab, env))  # nothing of Colab's was touched
    return colab


def freeze(python: Path, env: dict[str, str]) -> list[str]:
    done = subprocess.run([str(python), "-m", "pip", "freeze", "--all"], env=env, capture_output=True, text=True, check=True)
    return sorted(done.stdout.splitlines())


def test_it_is_like_colab(runtime):
    code = "import IPython, ipywidgets, effnet_lib; print(IPython.__version__, ipywidgets.__version__, effnet_lib.__file__)"
    env = {"PATH": os.defpath, "HOME": "/nowhere"}
    done = subprocess.run([str(runtime), "-c", code], cwd="/", env=env, capture_output=True, text=True, check=True)
    versions, place = done.stdout.rsplit(maxsplit=1)
    assert versions == "7.34.0 7.7.1"
    assert ".venv-colab" in place  # installed, no link to these sources


def installed(shown: str) -> set[str]:
    """What the first cell says it has installed; the library is here, and what an earlier notebook wanted."""
    said = re.search(r"^Installed: (.+)$|nothing to install$", shown, re.M)
    return {part.split()[0] for part in said[1].split(", ")} if said[1] else set()


def wanted(notebook: Path) -> set[str]:
    """The packages that the chapter asks for in its front matter, which Colab lacks."""
    front = notebook.with_suffix(".md").read_text("utf-8").split("---\n")[1]
    return set((yaml.safe_load(front).get("packages") or "").replace(",", " ").split())


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(runtime, notebook, tmp_path):
    """Alone, in an empty folder, from top to bottom."""
    read, took = readers.run_notebook(runtime, notebook, tmp_path, readers.environment(tmp_path))
    assert took < readers.LONGEST
    shown = readers.printed(read)
    assert installed(shown) <= wanted(notebook)
    assert "not answered yet" in shown
    assert "Warning" not in shown


def test_labs_answer(runtime, tmp_path):
    """Every control of every lab is moved, in the API of ipywidgets 7, and its answer compared."""
    done = subprocess.run(
        [str(runtime), str(DRIVE)], cwd=tmp_path, env=readers.environment(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "all labs answer" in done.stdout
