"""The two commands on machines that are not as they should be: one line, and no traceback."""

import ast
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import bootstrap, processes

ROOT = Path(__file__).parents[1]

# A project that installs without a network: it needs no package, and builds itself.
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "stub"
version = "1"
"""
BACKEND = """
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    files = {"METADATA": "Metadata-Version: 2.1\\nName: stub\\nVersion: 1\\n", "RECORD": "",
             "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"}
    with zipfile.ZipFile(f"{folder}/stub-1-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr("stub-1.dist-info/" + name, text)
    return "stub-1-py3-none-any.whl"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A small project with this one's tools, in a folder with an awkward name."""
    folder = tmp_path_factory.mktemp("project") / "Caffè e libri"
    shutil.copytree(ROOT / "tools", folder / "tools")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements.txt").write_text("# nothing\n")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "backend.py").write_text(BACKEND)
    return folder


def make_venv(folder, python=None, **environment):
    """`make venv` in that folder: its exit status, and what it said, progress and make aside."""
    python = python or getattr(sys, "_base_executable", sys.executable)
    clean = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(
        ["make", "venv", f"PYTHON={python}"], cwd=folder, env={**clean, **environment},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    said = re.sub(r"(?m)^(  \d+:\d\d  |make: \*\*\*).*\n", "", done.stdout)
    return done.returncode, said.splitlines()


def test_installs_once_and_repairs_what_was_cut_short(project):
    elsewhere = {"PIP_TARGET": str(project / "elsewhere"), "PIP_USER": "1", "PYTHONHOME": "/no"}
    status, said = make_venv(project, **elsewhere)
    assert status == 0 and said[-1].startswith("Installed in")
    assert not (project / "elsewhere").exists()

    assert make_venv(project) == (0, [])  # nothing has changed

    (project / ".venv/ready").unlink()  # as an interruption leaves it, pip half unpacked
    shutil.rmtree(next(project.glob(".venv/lib/*/site-packages/pip")))
    status, said = make_venv(project)
    assert status == 0 and said[-1].startswith("Installed in")
    assert make_venv(project) == (0, [])

    (project / ".venv/bin/python").unlink()  # as when the Python beneath was removed
    (project / ".venv/bin/python").symlink_to("/nowhere/python3")
    assert make_venv(project)[0] == 0

    (project / "requirements.txt").write_text("certifi==1000.1\n")
    status, said = make_venv(
        project, PIP_CONFIG_FILE=os.devnull, PIP_FIND_LINKS="", PIP_EXTRA_INDEX_URL="",
        PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="1",
    )
    assert status != 0
    assert said[1:] == [
        "Could not install: the package index cannot be reached; check the network, "
        "then try again (pip's log: .venv/install.log)"
    ]
    assert not (project / ".venv/ready").exists()


@pytest.mark.parametrize(
    "version, fault", [((2, 7, 18), "too old"), ((3, 10, 14), "too old"), ((3, 14, 0), "too new")]
)
def test_other_pythons_are_told_which_will_do(version, fault):
    with pytest.raises(SystemExit, match=f"{fault}: the book is tested with 3.11, 3.12 and 3.13"):
        bootstrap.check_python(version)


@pytest.mark.parametrize("name", ["__init__.py", "bootstrap.py", "progress.py"])
def test_an_old_python_can_read_what_tells_it_so(name):
    ast.parse((ROOT / "tools" / name).read_text(), feature_version=(3, 6))


def test_a_python_without_venv_is_told_what_to_install(tmp_path):
    (tmp_path / "ensurepip.py").write_text("raise ImportError")  # as Debian has it
    done = subprocess.run(
        [sys.executable, "-m", "tools.bootstrap"], cwd=ROOT, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    version = "{}.{}".format(*sys.version_info)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1 and f"apt-get install python{version}-venv" in done.stderr


def test_no_python_at_all_is_one_line(project):
    status, said = make_venv(project, python="python9")
    assert status != 0 and len(said) == 1
    assert said[0].startswith("There is no python9 here: install Python 3.11, 3.12 or 3.13")


@pytest.mark.parametrize(
    "output, words",
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
         "the disk is full"),
        ("ERROR: Could not find a version that satisfies the requirement torch==2.15.0 "
         "(from versions: 2.0.0, 2.2.2)\nERROR: No matching distribution found for torch==2.15.0",
         "there is no torch==2.15.0 for this machine"),
        ("WARNING: Retrying (Retry(total=0)) after connection broken by 'NameResolutionError'\n"
         "ERROR: Could not find a version that satisfies the requirement pip==1 (from versions: "
         "none)\nERROR: No matching distribution found for pip==1",
         "the package index cannot be reached"),
        ("Looking\nERROR: Invalid requirement: '=='", "ERROR: Invalid requirement: '=='"),
        ("", "no reason given"),
    ],
)
def test_pip_s_failures_in_plain_words(output, words):
    assert bootstrap.reason(output).startswith(words)


def find_browser(path, **environment):
    """`python -m tools.browser` on a machine with these commands alone, and no network."""
    return subprocess.run(
        [sys.executable, "-m", "tools.browser"], cwd=ROOT, text=True, capture_output=True,
        env={
            "HOME": str(path), "PATH": str(path), "PLAYWRIGHT_BROWSERS_PATH": str(path),
            "PLAYWRIGHT_DOWNLOAD_HOST": "http://127.0.0.1:9", **environment,
        },
    )


@pytest.fixture
def commands(tmp_path):
    """A PATH on which only an installer is, which fails, and a browser that does not start."""
    for name in "apt-get", "chromium":
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


@pytest.mark.skipif(platform.system() == "Darwin", reason="a Mac's applications are always there")
def test_no_browser_and_none_to_be_had_is_a_failure(commands):
    done = find_browser(commands)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith("The browser tests need Chrome or Chromium")
    assert "Traceback" not in done.stderr


def test_a_browser_that_was_named_is_used_or_refused(commands):
    done = find_browser(commands, EFFNET_BROWSER=str(commands / "chromium"))
    assert done.returncode != 0
    assert done.stderr.startswith(f"EFFNET_BROWSER={commands / 'chromium'} is not a browser")


def test_a_browser_that_does_not_start_is_passed_over(commands):
    from tools.browser import ensure_browser

    browser = ensure_browser()
    if browser is None:
        pytest.skip("the browser here is playwright's own, which is on no PATH")
    (commands / "google-chrome").symlink_to(browser)
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    done = find_browser(commands, PATH=path)
    assert done.stdout.strip() == f"Browser tests use {commands / 'google-chrome'}"


# How many tests at once ---------------------------------------------------------------------


@pytest.mark.parametrize("cores, gigabytes, count", [(4, 64, 4), (4, 3.5, 1), (8, 7, 3), (1, 64, 1), (2, 0.5, 1), (3, None, 3)])
def test_tests_run_side_by_side_as_far_as_memory_goes(cores, gigabytes, count):
    assert processes.workers(cores, gigabytes and int(gigabytes * 1024**3)) == count


@pytest.mark.parametrize("limits, expected", [
    ({}, None),
    ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:  5 kB\n"}, 5 * 1024),
    ({"proc/meminfo": "MemAvailable: 5 kB", "sys/fs/cgroup/memory.max": "max\n"}, 5 * 1024),
    ({"proc/meminfo": "MemAvailable: 5 kB", "sys/fs/cgroup/memory.max": "4096\n"}, 4096),
    ({"proc/meminfo": "MemAvailable: 5 kB", "sys/fs/cgroup/memory/memory.limit_in_bytes": "2048\n"}, 2048),
])  # fmt: skip
def test_the_memory_that_is_free(tmp_path, limits, expected):
    for name, text in limits.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert processes.free_memory(tmp_path) == expected
