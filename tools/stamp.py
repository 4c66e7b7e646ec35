"""Write the project's address and version where they are needed besides their one place.

The address is said in ``_config.yml`` (``repository: url:``), the version in
``effnet_lib/__init__.py``, where ``pyproject.toml`` reads it. From there they go into the project's
links and the citation; the notebooks and the pages take them when they are built.
"""

import re

import yaml

import effnet_lib
from tools.progress import ROOT

PLACES = {
    "pyproject.toml": [(r'^Homepage = ".*"$', 'Homepage = "{address}"')],
    "CITATION.cff": [
        (r"^repository-code: .*$", "repository-code: {address}"),
        (r"^version: .*$", "version: {version}"),
    ],
}


def stamped(name: str) -> str:
    """The file's text with this address and version.

    Raises:
        ValueError: it has no place for them.
    """
    text = (ROOT / name).read_text("utf-8")
    address = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["repository"]["url"].rstrip("/")
    for pattern, line in PLACES[name]:
        new = line.format(address=address, version=effnet_lib.__version__)
        text, count = re.subn(pattern, lambda match: new, text, flags=re.M)
        if count != 1:
            raise ValueError(f"{name} has {count} lines like {pattern!r}, and one was expected")
    return text


def main() -> None:
    for name in PLACES:
        if (text := stamped(name)) != (ROOT / name).read_text("utf-8"):
            (ROOT / name).write_text(text, "utf-8")
            print(f"{name}: address and version brought up to date")


if __name__ == "__main__":
    main()
