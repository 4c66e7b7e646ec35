"""Settings for every test."""

import os
import sys

import pytest
from hypothesis import settings

# Time is measured in benchmarks: a busy machine must not fail a property.
settings.register_profile("effnet", deadline=None)
settings.load_profile("effnet")


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    """Name what fails when it fails: a run that is stopped half-way has then said so."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\nFAILED {report.nodeid} ({report.when}, {report.duration:.0f} s)", file=sys.__stderr__, flush=True)
