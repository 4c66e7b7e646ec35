"""What every record of a benchmark says of itself: command, commit, device, versions, clock."""

import argparse
import datetime
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

from effnet_lib.files import write_atomically
from effnet_lib.train.record import commit, device_name, versions


def add_arguments(parser: argparse.ArgumentParser, rounds: int, threads: int) -> None:
    """The options that benchmarks on the processor share."""
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the record")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"turns of each (default: {rounds})")
    parser.add_argument("--threads", type=int, default=threads, help=f"default: {threads}")
    parser.add_argument("--cpu-time", action="store_true",
                        help="processor time in place of the clock on the wall, on one thread: for a busy machine")  # fmt: skip


class Recorder:
    """Sets the threads and the clock, notes when it began, and writes the record in the end.

    With ``--cpu-time`` there is one thread: with more, the time that they wait for one
    another would count twice.
    """

    def __init__(self, module: str, schema: str, arguments: argparse.Namespace):
        if arguments.cpu_time:
            arguments.threads = 1
        if arguments.threads:  # a browser has threads of its own
            torch.set_num_threads(arguments.threads)
        self.clock: Callable[[], float] = time.process_time if arguments.cpu_time else time.perf_counter
        self.schema, self.arguments = schema, arguments
        self.command = f"python -m {module}" + "".join(
            f" --{name.replace('_', '-')}" + ("" if value is True else f" {value}")
            for name, value in vars(arguments).items()
            if value not in (None, False)
        )
        # Now, since the record itself may be a file of the tree, and is written more than once.
        self.commit, self.started, self.load = commit(), now(), os.getloadavg()

    def write(self, **results) -> None:
        """Write the record with ``results`` to the file that ``--json`` names, if it names one."""
        if not self.arguments.json:
            return
        record = {
            "schema": self.schema, "command": self.command, "commit": self.commit,
            "started": self.started, "finished": now(),
            "clock": "processor time" if self.arguments.cpu_time else "wall",
            "device": {
                "name": device_name(torch.device("cpu")), "threads": self.arguments.threads,
                "processors": os.cpu_count(), "load_before": self.load[0], "load_after": os.getloadavg()[0],
                "wait_policy": os.environ.get("OMP_WAIT_POLICY"),
                "capability": torch.backends.cpu.get_cpu_capability(),
            },
            "versions": versions(),
        } | results  # fmt: skip
        self.arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.arguments.json, (json.dumps(record, indent=1) + "\n").encode())


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
