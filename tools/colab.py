"""Make .venv-colab: a stand-in for Colab's runtime, in which the notebooks are run.

What differs from .venv most, and breaks notebooks most, is installed as Colab has it
(``requirements-colab.txt``): ipywidgets 7 and IPython 7 above all. PyTorch and what belongs to
it, five gigabytes, are shared with .venv by links; whatever Colab lacks is not there.
"""

import hashlib
import re
import shutil
import sys
import sysconfig
import time
from importlib import metadata
from pathlib import Path

from tools.bootstrap import STEPS, pip_environment, reason
from tools.progress import ROOT, run_logged

VENV = ROOT / ".venv-colab"
PYTHON = VENV / "bin" / "python"
READY = VENV / "ready"
LOG = VENV / "install.log"
WANTED = ROOT / "requirements-colab.txt"

#: Shared with .venv, with all that they require. Colab has every one of them.
SHARED = ("torch", "torchvision", "timm", "scikit-learn", "safetensors", "tqdm", "pillow")


def ensure_colab() -> Path:
    """The Python of the stand-in, which is made, or made anew, where need be."""
    wanted = hashlib.sha256(f"{sys.version}{sys.prefix}{WANTED.read_text()}{SHARED}".encode()).hexdigest()
    if READY.exists() and READY.read_text() == wanted:
        return PYTHON
    print("Installing what Colab has into .venv-colab: once, 100 MB to download", flush=True)
    started = time.time()
    if VENV.exists():
        shutil.rmtree(VENV)
    VENV.mkdir()
    run([sys.executable, "-m", "venv", str(VENV)])
    pip = [str(PYTHON), "-I", "-m", "pip", "--no-input", "--disable-pip-version-check"]
    run([*pip, "install", "--only-binary", ":all:", "-r", str(WANTED)])
    share()
    READY.write_text(wanted)
    print(f"Installed in {time.time() - started:.0f} s", flush=True)
    return PYTHON


def run(command) -> None:
    status, output = run_logged(command, LOG, STEPS, pip_environment())
    if status:
        sys.exit(f"Could not make .venv-colab: {reason(output)} (the log: {LOG.relative_to(ROOT)})")


def share() -> None:
    """Link the packages of ``SHARED`` into the stand-in, but for those that it has itself."""
    ours = Path(sysconfig.get_path("purelib"))
    theirs = Path(sysconfig.get_path("purelib", vars={"base": str(VENV), "platbase": str(VENV)}))
    own = {canonical(found.metadata["Name"]) for found in metadata.distributions(path=[str(theirs)])}
    for name, distribution in required(SHARED).items():
        if name in own:
            continue
        for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            if not (theirs / top).exists():
                (theirs / top).symlink_to(ours / top)


def required(names) -> dict[str, metadata.Distribution]:
    """Distributions by name, with all that they require here."""
    from packaging.requirements import Requirement

    found, wanted = {}, [canonical(name) for name in names]
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        needs = [Requirement(line) for line in found[name].requires or ()]
        for need in needs:
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                extras = [Requirement(line) for line in metadata.distribution(need.name).requires or ()]
                wanted += [canonical(need.name)]
                wanted += [
                    canonical(more.name) for more in extras for extra in need.extras
                    if more.marker and more.marker.evaluate({"extra": extra})
                    and not more.marker.evaluate({"extra": ""})
                ]  # fmt: skip
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    print("Notebooks run as in Colab with", ensure_colab().relative_to(ROOT))
