"""A network that runs in the browser: packed by Python, computed by a small engine written in C.

``engine.c`` computes (``build.py`` compiles it), ``plain.js`` is the same in JavaScript, ``network.js`` walks
through the layers, ``prepare.js`` prepares images, ``worker.js`` answers to the page, ``pack.py`` packs.
"""

import json
from base64 import b64encode
from functools import cache
from importlib import resources
from pathlib import Path

#: What the worker consists of, in order.
SCRIPTS = ("plain.js", "network.js", "prepare.js", "worker.js")


def worker_source() -> str:
    """The worker's scripts as one."""
    return "\n".join(_read(name).decode() for name in SCRIPTS)


@cache
def _read(name: str) -> bytes:
    return resources.files(__package__).joinpath(name).read_bytes()


#: The networks that can be loaded, by name: what build_model takes.
NETWORKS = {"lite0": {"variant": "lite0", "weights": "lite"}}


@cache
def live_network(name: str = "lite0"):
    """One of the networks, packed.

    Raises:
        WeightsError: the package of the weights is missing.
    """
    from ..model import build_model
    from .pack import pack_network

    return pack_network(build_model(**NETWORKS[name]).eval())


@cache
def live_files() -> dict[str, str]:
    """What a page loads when its reader asks for the network, by name: JSON as text.

    Of each network ``plan``, ``categories`` and ``weights`` (base 64 of the deflated bytes, in which the engine
    lies too); of ``photographs`` each one's JPEG as an address.
    """
    from ..samples import photograph_credits, photograph_file

    files = {name: live_network(name).file() for name in NETWORKS}
    photographs = {}
    for credit in photograph_credits():
        picture = b64encode(photograph_file(credit["name"], whole=True)).decode()
        photographs[credit["name"]] = f"data:image/jpeg;base64,{picture}"
    files["photographs"] = photographs
    return {name: json.dumps(content, separators=(",", ":"), ensure_ascii=False) for name, content in files.items()}


def write_live_files(folder: Path) -> None:
    """Write each of :func:`live_files` as a script, which a page loads from a disk as well as from a server."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in live_files().items():
        script = f'(window.EffnetFiles ??= {{}})["{name}"] =\n{content};\n'
        (folder / f"{name}.js").write_text(script, encoding="utf-8")
