"""A reader's machine: the library as pip installs it, an empty folder, a notebook run from top to bottom."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Seconds that a notebook may take without a GPU.
LONGEST = 120

RUN = """
import json, sys, nbformat, nbclient
source, result = sys.argv[1:]
notebook = nbformat.read(source, as_version=4)
client = nbclient.NotebookClient(notebook, timeout=None, kernel_name="python3", store_widget_state=False)
try:
    client.execute()
finally:
    nbformat.write(notebook, result)
"""


def copy_project(folder: Path) -> Path:
    """The files of the project as they are now, without what is built or installed beside them."""
    aside = shutil.ignore_patterns(
        ".git", ".venv*", "_build", "build", "dist", "runs", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis"
    )
    return Path(shutil.copytree(ROOT, folder / "project", ignore=aside))


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a reader who has set nothing and whose home is ``folder``."""
    kept = ("PATH", "LANG", "SSL_CERT", "REQUESTS_CA", "TMP", "OMP_NUM_THREADS", "PIP_", "HTTP", "http", "NO_PROXY")
    mine = {name: value for name, value in os.environ.items() if name.startswith(kept) and name != "PIP_USER"}
    places = {
        name: str(folder / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    }
    return mine | places | {"HOME": str(folder), "PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1"} | more


def run_notebook(python, path: Path, folder: Path, env: dict[str, str], must_pass: bool = True):
    """Run a notebook by itself in ``folder``.

    Returns:
        The notebook with its outputs, and the seconds that it took.
    """
    import nbformat

    result = folder / f"{path.stem}.out.ipynb"
    started = time.monotonic()
    done = subprocess.run(
        [str(python), "-c", RUN, str(path.resolve()), str(result)],
        cwd=folder, env=env, capture_output=True, text=True, timeout=10 * LONGEST,
    )  # fmt: skip
    took = time.monotonic() - started
    assert result.exists(), done.stderr
    if must_pass:
        assert done.returncode == 0, done.stderr[-3000:]
    notebook = nbformat.read(result, as_version=4)
    result.unlink()
    return notebook, took


def printed(notebook) -> str:
    """All that its cells wrote, errors included."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") or "\n".join(output.get("traceback", [])) for output in outputs)


def installed(folder: Path) -> Path:
    """The library as a reader gets it, in a folder by itself: no link to these sources."""
    place = folder / "installed"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(place)]
    subprocess.run([*command, str(copy_project(folder))], check=True, capture_output=True, text=True)
    return place
