"""Make .venv: the tested version of everything that the book needs, and this library.

Runs on the machine's own Python with nothing but the standard library. Even Python 3.6
must be able to read this file and progress.py, to be told that it is too old.
"""

import hashlib
import os
import platform
import re
import subprocess
import sys
import time

from tools.progress import ROOT, disk_full, run_logged

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
READY = VENV / "ready"  # holds fingerprint(), once everything is installed
LOG = VENV / "install.log"

STEPS = (
    (r"Collecting ([^ =]+)", "looking up {}"),
    (r"Downloading ([\w.]+)-.*\((.*)\)", "downloading {} ({})"),
    (r"Installing collected packages", "unpacking everything"),
)


def main():
    check_python(sys.version_info)
    wanted, found = fingerprint(), READY.read_text("utf-8") if READY.exists() else ""
    if found == wanted and runs(PYTHON):
        return
    print("Installing the tested versions into .venv: once, up to 3 GB to download", flush=True)
    started = time.time()
    if found.splitlines()[:2] == wanted.splitlines()[:2] and runs(PYTHON):
        READY.unlink()  # the same Python in the same place: bring it up to date
    else:
        make_venv()  # the first time, or the last time was cut short
    pip("install", "--only-binary", ":all:", "-r", "requirements.txt")
    pip("install", "--no-deps", "--no-build-isolation", "--editable", ".")
    READY.write_text(wanted, "utf-8")
    print(f"Installed in {time.time() - started:.0f} s", flush=True)


def check_python(version):
    """Stop, unless this is a Python that the book is tested with and can make a .venv."""
    name = "{}.{}".format(*version)
    if not (3, 11) <= version[:2] <= (3, 13):
        fault = "too old" if version < (3, 11) else "too new"
        sys.exit(
            f"Python {name} is {fault}: the book is tested with 3.11, 3.12 and 3.13. Install "
            "one of them, or say where it is: make book PYTHON=/path/to/python3.12"
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        sys.exit(
            f"Python {name} lacks its venv module: install it (on Debian and Ubuntu: "
            f"sudo apt-get install python{name}-venv), then try again"
        )


def fingerprint():
    """What .venv is made of: the Python, the place, the versions asked for; a line each."""
    python = f"{sys.implementation.cache_tag} {platform.machine()}"
    asked = b"".join((ROOT / name).read_bytes() for name in ("requirements.txt", "pyproject.toml"))
    return "\n".join([python, str(ROOT), hashlib.sha256(asked).hexdigest()])


def runs(python):
    """Whether this interpreter is there and starts; it may be a link to one that is gone."""
    try:
        return subprocess.call([str(python), "-I", "-c", ""], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def make_venv():
    """Make an empty .venv, by the interpreter beneath if this one is itself in a venv."""
    python = getattr(sys, "_base_executable", sys.executable)
    made = subprocess.run(
        [python, "-I", "-m", "venv", "--clear", str(VENV)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    if made.returncode:
        sys.exit("Could not make .venv: " + reason(made.stdout.decode("utf-8", "replace")))


def pip(*arguments):
    command = [str(PYTHON), "-I", "-m", "pip", "--no-input", "--disable-pip-version-check"]
    status, output = run_logged(command + list(arguments), LOG, STEPS, pip_environment())
    if status:
        sys.exit(f"Could not install: {reason(output)} (pip's log: {LOG.relative_to(ROOT)})")


def pip_environment():
    """The reader's settings of where packages come from, but none of where they go to."""
    source = "INDEX|LINKS|HOST|CERT|PROXY|TIMEOUT|RETRIES|CACHE|CONFIG|KEYRING"
    kept = {
        name: value for name, value in os.environ.items()
        if not name.startswith("PIP_") or re.search(source, name)
    }
    return dict(kept, PIP_USER="0", PIP_PROGRESS_BAR="off")


def reason(output):
    """Why pip or venv failed and what to do about it, in a few words."""
    if disk_full(output):
        return "the disk is full; make room (10 GB are enough), then try again"
    lacking = re.search(r"requirement (\S+) .*from versions: (?!none)", output)
    if lacking:
        machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
        return (
            f"there is no {lacking.group(1)} for this machine ({machine}); the book runs on "
            "Linux, and on macOS 14 or newer on Apple silicon"
        )
    if re.search("[Cc]onnection|ConnectTimeout|timed out|ProxyError|SSLError|resolution", output):
        return "the package index cannot be reached; check the network, then try again"
    lines = output.strip().splitlines() or ["no reason given"]
    return ([line for line in lines if "rror" in line] or lines)[-1].strip()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted: the next run begins again, with what is downloaded already")
    except OSError as error:
        sys.exit(f"Could not make .venv: {reason(str(error))}")
