"""What a run does to its process, and undoes: signals, seeds, settings of the GPU; and its workers.

Workers read images. They hear none of the signals that ask to stop, which ``timeout``, Slurm and Docker send to
a whole group: the main process ends them once it has saved. They never outlive it.
"""

import atexit
import contextlib
import ctypes
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader

from .config import Config, count_cores
from .errors import Interrupted, ReadingError, RunError

#: The signals that ask a run to stop: Ctrl-C, ``kill``, a terminal that closes, what Slurm may be told to
#: send, and the end of the CPU time that a process may use.
SIGNALS = tuple(
    getattr(signal, f"SIG{name}") for name in ("TERM", "INT", "HUP", "USR1", "USR2", "XCPU") if hasattr(signal, f"SIG{name}")
)

HANGUP = getattr(signal, "SIGHUP", None)

#: Seconds in which a second signal belongs to the first: ``timeout`` sends two at once, one to the
#: process and one to its group.
MOMENT = 0.25

#: Batches that each worker reads ahead.
AHEAD = 2

#: How a process is made to read images. A fork takes milliseconds, and shares the memory of what is loaded;
#: workers use neither the GPU nor threads, which a fork would break.
METHOD = "fork" if sys.platform == "linux" else None

_running: set[DataLoader] = set()


class Stop:
    """Whether a signal has asked this process to stop.

    Until :meth:`wait` there is nothing to save: a signal raises KeyboardInterrupt where it arrives.

    Attributes:
        number: of the signal; 0 for none.
        say: called with a line when a signal has to wait for the end of a step; None before.
    """

    def __init__(self):
        self.number, self.say = 0, None

    def wait(self, say: Callable[[str], None]) -> None:
        """From now on a signal waits until the run looks at ``number``."""
        self.say = say

    def hear(self, number: int, frame) -> None:
        """The handler of the signals."""
        if not self.number:
            self.number = number
            if not self.say:
                raise KeyboardInterrupt


@contextlib.contextmanager
def listening() -> Iterator[Stop]:
    """Let SIGTERM, Ctrl-C and the other ``SIGNALS`` ask the run to stop; a second one ends the process at once.

    The second is heard by a thread, since the main one may hang in a computation or a broken network.

    Raises:
        Interrupted: by a signal before the training began.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        first = None
        while number := os.read(reader, 1)[0]:
            if number not in SIGNALS:
                continue
            if first is None:
                first = time.monotonic()
                if stop.say:
                    with contextlib.suppress(Exception):  # the terminal may be gone
                        stop.say(f"{signal.Signals(number).name}: finishing the step and saving; once more ends at once")
            elif time.monotonic() - first > MOMENT:
                os._exit(128 + number)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    # nohup has a closing terminal ignored, and so do we then.
    heard = [number for number in SIGNALS if number != HANGUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop.hear) for number in heard}
    try:
        yield stop
    except KeyboardInterrupt:
        number = stop.number or signal.SIGINT
        text = f"{signal.Signals(number).name}: stopped before the training began; the same command starts it again"
        raise Interrupted(text, 128 + number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(wakeup)
        os.write(writer, b"\0")
        thread.join()
        os.close(reader)
        os.close(writer)


@contextlib.contextmanager
def as_found(device: torch.device):
    """Let a run seed what it likes and set the GPU to its fastest, and leave the process as it was."""
    cuda = device.type == "cuda"
    settings = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    seeds = random.getstate(), np.random.get_state()
    gpus = [device] if cuda and torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=gpus), torch.cuda.device(device) if gpus else contextlib.nullcontext():
            if cuda:
                torch.backends.cudnn.benchmark = True
                torch.set_float32_matmul_precision("high")
            yield
    finally:
        random.setstate(seeds[0])
        np.random.set_state(seeds[1])
        if cuda:
            torch.backends.cudnn.benchmark = settings[0]
            torch.set_float32_matmul_precision(settings[1])


# Workers


def count_workers(config: Config, batch_bytes: int, processes: int = 1, warn: Callable[[str], None] | None = None) -> int:
    """How many processes shall read images: as many as were asked for, if the machine has room for them.

    Args:
        config: of the run; ``workers`` of None takes the cores there are, up to 8.
        batch_bytes: size of one batch in shared memory.
        processes: that train on this machine, and share it.
        warn: told in one line where there will be fewer than were asked for.
    """
    warn = warn or (lambda text: None)
    cores = count_cores()
    wanted = min(8, max(1, cores // processes)) if config.workers is None else config.workers
    if wanted > cores:
        warn(f"workers = {wanted} are more than the cores of this machine: {cores} will read images")
        wanted = cores
    room = free_shared_memory()
    if room is None or not wanted:
        return wanted
    fit = max(0, (room // processes // max(1, batch_bytes) - 1) // AHEAD)
    if wanted > fit:
        warn(
            f"/dev/shm has {room / 2**20:.0f} MiB free, which is room for the batches of {fit} workers, not of {wanted}: "
            f"{fit or 'the main process'} will read images. {_MORE_SHARED}"
        )
    return min(wanted, fit)


_MORE_SHARED = "In a container, --shm-size=8g or --ipc=host gives more"


def free_shared_memory() -> int | None:
    """Free bytes of shared memory; None where the system does not tell."""
    try:
        shm = os.statvfs("/dev/shm")
    except (OSError, AttributeError):
        return None
    return shm.f_bavail * shm.f_frsize


def start_worker(parent: int, _: int) -> None:
    """Make this process a worker of ``parent``: deaf to requests to stop, and dead when it is.

    DataLoader's workers look every 5 s whether the parent lives; on Linux the kernel does it.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGBUS, signal.SIGSEGV):  # torch would print lines; the main process says it in one
        signal.signal(number, signal.SIG_DFL)
    torch.set_num_threads(1)
    if METHOD == "fork":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died before
            os._exit(1)


def start_reading(loader: DataLoader) -> Iterator:
    """An iterator over ``loader``, its workers started.

    No signal reaches a worker before it has become deaf. torch would let the death of a worker
    raise an error anywhere in the main process, in the middle of saving even: without its
    handler the death is noticed where a batch is waited for, and what was done can be saved.
    """
    if not loader.num_workers:
        return iter(loader)
    if threading.current_thread() is not threading.main_thread():
        _running.add(loader)
        return iter(loader)
    before = signal.getsignal(signal.SIGCHLD)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        _running.add(loader)
        return iter(loader)
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def end_workers(loader: DataLoader) -> None:
    """End the workers of ``loader``, if it has any; they start again when it is iterated."""
    _running.discard(loader)
    iterator, loader._iterator = getattr(loader, "_iterator", None), None
    if iterator is None:
        return
    for worker in (workers := getattr(iterator, "_workers", [])):
        if not worker.is_alive() and worker.exitcode:
            break
    else:
        iterator._shutdown_workers()  # waits for each to end its batch, up to 5 s
    for worker in workers:
        worker.kill()  # a dead or a stuck one would hold up the rest
    for worker in workers:
        worker.join(5)
    iterator._shutdown_workers()


@atexit.register
def _end_all() -> None:
    for loader in tuple(_running):
        end_workers(loader)


def explain_reading(error: Exception, loader: DataLoader) -> Exception:
    """What stopped ``loader``, as one line with advice; the error itself where nothing is known about it."""
    text = str(error).strip()
    if isinstance(error, RunError):  # a worker's arrives with its traceback: the last line says it
        return ReadingError(text.splitlines()[-1].partition("RunError: ")[2] or text)
    workers = getattr(getattr(loader, "_iterator", None), "_workers", [])
    dead = [worker for worker in workers if not worker.is_alive() and worker.exitcode]
    if dead:
        code = dead[0].exitcode
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        why = {
            -signal.SIGKILL: "as the system does when memory runs out",
            -signal.SIGBUS: f"as where shared memory (/dev/shm) runs out. {_MORE_SHARED}",
        }.get(code, "which a damaged image can do to a decoder")
        return ReadingError(f"a process that reads images (pid {dead[0].pid}) {how}, {why}. {_fewer(loader)}")
    if "shared memory" in text or "torch_" in text or "No space left" in text:
        return ReadingError(f"shared memory (/dev/shm) is full. {_MORE_SHARED}. {_fewer(loader)}")
    if "Too many open files" in text or "ancdata" in text:
        return ReadingError(f"too many files are open: raise the limit with ulimit -n. {_fewer(loader)}")
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "Cannot allocate memory" in text:
        return ReadingError(f"out of memory in reading images. {_fewer(loader)}")
    if isinstance(error, OSError) and not workers:
        return ReadingError(f"no process to read images can be started ({error.strerror or error}). {_fewer(loader)}")
    return error


def _fewer(loader: DataLoader) -> str:
    if loader.num_workers < 2:
        return "Go on with --resume --workers 0, which reads in the main process" if loader.num_workers else "Go on with --resume"
    return f"Go on with --resume and fewer workers: --workers {loader.num_workers // 2}, or --workers 0 for none"
