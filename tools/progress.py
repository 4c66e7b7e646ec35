"""Run a long command with its output in a log, and one line on the screen meanwhile."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
QUIET = 15  # seconds between lines where the screen is no terminal


def run_logged(command, log, steps, env=None):
    """Run `command`, append its output to `log`, return its exit status and that output.

    `steps` pairs patterns with words: the last line of output that matches one is shown,
    with the time, so that a reader can see that something goes on, and what.
    """
    step, started, next_line = "starting", time.time(), QUIET
    with open(str(log), "ab") as sink, open(str(log), "rb") as source:
        beginning = source.seek(0, 2)
        process = subprocess.Popen(
            command, cwd=str(ROOT), env=env,
            stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                time.sleep(0.1)
                for line in source:
                    step = in_words(plain(line), steps) or step
                spent = time.time() - started
                if sys.stdout.isatty():
                    show("\r", spent, step, "\x1b[K")
                elif spent > next_line:
                    show("", spent, step, "\n")
                    next_line = spent + QUIET
        finally:
            process.terminate()
            process.wait()
            if sys.stdout.isatty():
                print("\r\x1b[K", end="", flush=True)
        source.seek(beginning)
        return process.returncode, plain(source.read())


def show(before, spent, step, after):
    line = f"  {spent // 60:.0f}:{spent % 60:02.0f}  {step}"
    print(before + line[: shutil.get_terminal_size().columns - 1], end=after, flush=True)


def in_words(line, steps):
    for pattern, words in steps:
        match = re.search(pattern, line)
        if match:
            return words.format(*match.groups())
    return None


def plain(output):
    """The text of a command's output, its colours taken off."""
    return re.sub("\x1b\\[[0-9;]*[A-Za-z]", "", output.decode("utf-8", "replace"))


def disk_full(output):
    """Whether a command failed for want of room; not all say so, hence the second look."""
    said = re.search("No space left|Disk quota exceeded", output)
    return bool(said) or shutil.disk_usage(str(ROOT)).free < 10e6
