"""How many tests run side by side: a core and room in memory for each."""

import os
from pathlib import Path

ROOM = 2 * 1024**3  # bytes: a worker that trains, and the browser that it drives


def workers(cores: int, memory: int | None) -> int:
    """For so many cores and bytes of memory that are free (None: nobody knows)."""
    return max(1, cores if memory is None else min(cores, memory // ROOM))


def free_cores() -> int:
    """Those that this process may use, which a container or taskset can keep small."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that a new process can have, by Linux and by the limit of a container."""
    found = []
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        return None
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):  # control groups, second and first version
        try:
            found.append(int((root / "sys/fs/cgroup" / limit).read_text()))
        except (OSError, ValueError):  # there is none, or no limit: "max"
            continue
    return min(found, default=None)
