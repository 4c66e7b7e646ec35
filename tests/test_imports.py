"""The ground floor stands without torch, and quickly; the doctests of the library hold."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import effnet_lib


GROUND = [
    "scaling", "variants", "features", "memory", "cost", "bounds", "budget", "naming", "near", "files", "packages", "receptive",
    "records", "published",
    "studies", "studies_v2", "train.progressive", "train.folders", "train.manifest", "explore", "live",
]  # fmt: skip


@pytest.mark.parametrize("module", GROUND)
def test_no_torch(module):
    code = f"import sys, effnet_lib.{module}; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_lazy_names():
    code = (
        "import sys, effnet_lib as e; e.compound_scaling, e.count_cost, e.scale_variant, e.phi_explorer, e.dimension_study();"
        "assert 'torch' not in sys.modules; e.build_model; assert 'torch' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_submodules_are_there():
    code = "import effnet_lib; assert effnet_lib.scaling.compound_scaling is effnet_lib.compound_scaling"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_public_name_exists_and_says_what_it_is():
    assert set(effnet_lib.__all__) <= set(dir(effnet_lib))
    for name in effnet_lib.__all__:
        assert getattr(effnet_lib, name).__doc__, name
    with pytest.raises(AttributeError, match="no_such_name"):
        effnet_lib.no_such_name


MODULES = [m.name for m in pkgutil.walk_packages(effnet_lib.__path__, "effnet_lib.") if "__main__" not in m.name]


@pytest.mark.parametrize("name", ["effnet_lib", *MODULES])
def test_doctests(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
