"""Settings for every test."""

import os
import sys

import pytest
from hypothesis import settings

from tools.processes import free_cores, free_memory, workers

# Time is measured in benchmarks: a busy machine must not fail a property.
settings.register_profile("effnet", deadline=None)
settings.load_profile("effnet")


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    """Name what fails when it fails: a run that is stopped half-way has then said so."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\nFAILED {report.nodeid} ({report.when}, {report.duration:.0f} s)", file=sys.__stderr__, flush=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """For ``-n auto``: on a machine with four cores and 4 GB four workers would end each other."""
    return workers(free_cores(), free_memory())
