"""Compile ``engine.c`` to WebAssembly: ``python -m effnet_lib.live.build``.

The compiler is Zig's, from PyPI (``pip install ziglang``). Two binaries lie beside the source: ``simd.wasm``,
and ``relaxed.wasm`` with fused multiply-adds (relaxed SIMD), for browsers that have them.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

#: Each binary and what it asks of the browser.
BINARIES = {"simd": ["-msimd128"], "relaxed": ["-msimd128", "-mrelaxed-simd"]}

_OPTIONS = [
    "-target", "wasm32-freestanding", "-O3", "-nostdlib", "-Wl,--no-entry,--strip-all,--import-memory",
    "-Wl,--export=__heap_base", "-Wl,-z,stack-size=16384",
]  # fmt: skip


def compile_engine(folder: Path) -> dict[str, bytes]:
    """Both binaries, freshly compiled in ``folder``."""
    found = {}
    for name, features in BINARIES.items():
        target = folder / f"{name}.wasm"
        # without the path of the source, which would get into the binary
        command = [sys.executable, "-m", "ziglang", "cc", *_OPTIONS, *features, "-o", str(target), "engine.c"]
        subprocess.run(command, cwd=HERE, check=True)
        found[name] = target.read_bytes()
    return found


if __name__ == "__main__":
    for name, content in compile_engine(HERE).items():
        print(f"{name}.wasm: {len(content):,} bytes")
