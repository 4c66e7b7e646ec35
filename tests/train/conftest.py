"""What the tests of training share."""

import pytest
import torch
from tiny import make_tree


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors gain nothing from threads, and tests run side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("data") / "noise")


@pytest.fixture(autouse=True, scope="session")
def own_memory(tmp_path_factory):
    """What was found good in the tests' folders is not remembered beyond them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EFFNET_DATA", str(tmp_path_factory.mktemp("cache")))
        yield
