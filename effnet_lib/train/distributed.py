"""One process or many: the little that a run must know of its group.

Without torchrun, a run is a group of one. GPUs speak NCCL, CPUs gloo; only rank 0 writes.
``batch_size`` is that of all processes together: steps and learning rate do not change with
their number. Batch-norm statistics are those of each process's share.

One machine, and one worker that may die without ending the run (it resumes by itself)::

    torchrun --standalone --nproc-per-node=8 --max-restarts=3 -m effnet_lib train
        --recipe paper --data /data/imagenet --output runs/b0

Several machines that see one file system: the same on each, with a common meeting point (the
variable makes every attempt after a failure meet in a fresh store)::

    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    torchrun --nnodes=2 --nproc-per-node=8 --rdzv-backend=c10d --rdzv-id=b0
        --rdzv-endpoint=first-machine:29500 --max-restarts=3 -m effnet_lib train …

Slurm: one task a node starts torchrun; ``--requeue`` and ``--resume`` let a job that ran out of
time go on (Slurm's SIGTERM saves first)::

    #SBATCH --nodes=2 --ntasks-per-node=1 --gpus-per-node=8 --requeue --signal=TERM@120
    srun torchrun --nnodes=$SLURM_NNODES --nproc-per-node=8 --rdzv-backend=c10d
        --rdzv-id=$SLURM_JOB_ID --rdzv-endpoint=$(scontrol show hostnames | head -1):29500
        -m effnet_lib train --resume --recipe paper --data /data/imagenet --output runs/b0
"""

import contextlib
import itertools
import json
import os
import time
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .errors import ConfigError, PeerError, RunError
from .processes import as_found


@dataclass(frozen=True)
class Group:
    """This process among those that train together.

    Attributes:
        rank: number of this process, from 0; rank 0 is the one that writes.
        size: number of processes.
        device: where this process computes.
        local_size: number of processes on this machine.
    """

    rank: int
    size: int
    device: torch.device
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def exact(self) -> torch.device:
        """Where float64 sums are taken: the device itself, or the CPU, since Apple's GPUs have no float64."""
        return torch.device("cpu") if self.device.type == "mps" else self.device

    def sum(self, values: Tensor) -> Tensor:
        """The sum of ``values`` over all processes, in place; every process gets it."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def agree(self, number: int) -> int:
        """The largest ``number`` of all processes; each has to ask at the same point."""
        if self.size == 1:
            return number
        box = torch.tensor(number, device=self.device)
        dist.all_reduce(box, dist.ReduceOp.MAX)
        return int(box)

    def broadcast(self, module: nn.Module) -> None:
        """Give every process rank 0's buffers (batch-norm statistics differ between ranks)."""
        if self.size > 1:
            for buffer in module.buffers():
                on_device = buffer.to(self.device)
                dist.broadcast(on_device, 0)
                buffer.copy_(on_device)

    def share(self, value):
        """Rank 0's ``value``, on every process."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, 0, device=self.device)
        return box[0]

    @contextlib.contextmanager
    def main_first(self):
        """Let rank 0 go through the block before the others (a download, for instance)."""
        if self.size > 1 and not self.is_main:
            dist.barrier()
        yield
        if self.size > 1 and self.is_main:
            dist.barrier()


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` means for this process.

    ``auto`` is a CUDA GPU or else the CPU. Apple's GPU (``mps``) is used where it is asked for.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{local_rank}"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device must be auto, cpu, cuda, cuda:N or mps, got {name!r}") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"device must be auto, cpu, cuda, cuda:N or mps, got {name!r}")
    if device.type == "mps":
        if (device.index or 0) > 0:
            raise ConfigError(f"device {name}: a Mac has one GPU that torch can use: use mps")
        if not torch.backends.mps.is_available():
            raise ConfigError(f"device {name}: torch finds no Apple GPU on this machine: use cpu or auto")
        return torch.device("mps")
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ConfigError(f"device {name}: this machine has {count} GPUs that torch can use; --device auto takes what is there")
    return device


@contextlib.contextmanager
def join(device: str):
    """Enter the group that torchrun made, or a group of one, and leave it at the end."""
    size, rank, local_rank, local_size = (
        _from_torchrun(*pair)
        for pair in (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1))
    )
    chosen = choose_device(device, local_rank)
    with as_found(chosen):
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)
        if size == 1:
            yield Group(0, 1, chosen)
            return
        if chosen.type == "mps":
            raise ConfigError(f"device mps trains in one process, and there are {size}: start it without torchrun")
        store = _start_group("nccl" if chosen.type == "cuda" else "gloo")
        try:
            with _telling_others(store, rank):
                yield Group(rank, size, chosen, max(1, local_size))
        except BaseException:
            dist.destroy_process_group()  # the others notice now, and read why
            _leave(store, size if rank == 0 else 0)
            raise
        dist.destroy_process_group()
        _leave(store)


@contextlib.contextmanager
def _telling_others(store: dist.Store, rank: int):
    """Leave word of what goes wrong here, and say of what follows from another's failure that it does.

    Raises:
        PeerError: another process failed first.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, RuntimeError) and not isinstance(error, RunError):
            if first := _word_of_others(store):
                who, what, status = first
                raise PeerError(f"process {who} of the group failed: {what}", status) from None
            if _is_lost_connection(error):
                raise PeerError("another process of the group has ended: its message or the system's log says why") from None
        status = {ConfigError: 2, KeyboardInterrupt: 130}.get(type(error), getattr(error, "status", 1))
        lines = str(error).strip().splitlines() or [type(error).__name__]
        with contextlib.suppress(Exception):  # the store may be gone with the process that keeps it
            store.set(_WORD, json.dumps([rank, lines[0], status]))
        raise


_WORD, _LEFT = "effnet_lib/failed", "effnet_lib/left"

#: Seconds in which the first process, which keeps the store, waits for the others to read there why it failed.
PATIENCE = 10


def _leave(store: dist.Store, wait_for: int = 0) -> None:
    """Say that this process is done with the store; wait until so many are, but not for ever."""
    with contextlib.suppress(Exception):  # the store may be gone with the process that keeps it
        left, end = store.add(_LEFT, 1), time.monotonic() + PATIENCE
        while left < wait_for and time.monotonic() < end:
            time.sleep(0.05)
            left = store.add(_LEFT, 0)


def _word_of_others(store: dist.Store) -> list | None:
    with contextlib.suppress(Exception):
        if store.check([_WORD]):
            return json.loads(store.get(_WORD))
    return None


def _is_lost_connection(error: RuntimeError) -> bool:
    signs = ("by peer", "Broken pipe", "gloo", "NCCL", "Timed out", "timed out", "remote process")
    return isinstance(error, dist.DistError) or any(sign in str(error) for sign in signs)


def _from_torchrun(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if text and not text.isdecimal():
        raise ConfigError(f"the environment says {name}={text:.40}, where torchrun sets a number: unset it")
    return int(text or default)


_groups = itertools.count()  # one process may train several times


def _start_group(backend: str) -> dist.Store:
    """Meet the other processes; after a restart, under a name that no earlier attempt has used.

    torchrun keeps one store of addresses for all attempts, and a process that reads the
    address of a dead one waits for it in vain. On one machine the attempts are counted alike;
    on several they are not, and torchrun has to be told: TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1.
    """
    from torch.distributed.rendezvous import rendezvous

    store, rank, size = next(rendezvous("env://"))
    one_machine = os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]
    attempt = _from_torchrun("TORCHELASTIC_RESTART_COUNT", 0) if one_machine else 0
    store = dist.PrefixStore(f"attempt-{attempt}/group-{next(_groups)}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    return store


def was_restarted() -> bool:
    """Whether torchrun has started this process again after a failure in its group."""
    return _from_torchrun("TORCHELASTIC_RESTART_COUNT", 0) > 0
