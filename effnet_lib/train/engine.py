"""The training engine. :func:`fit` and :func:`training_step` are the loop, whole; the rest serves them.

Every step draws its random numbers from (seed, step, rank), and every epoch its order from
(seed, epoch). Nothing random is carried from step to step, so a run that goes on from a
checkpoint does, bit for bit, what it would have done without the interruption.
"""

import contextlib
import io
import json
import math
import shlex
import signal
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from ..cost import count_cost
from ..files import expand, shown
from ..images import Preprocessing
from ..model import build_model
from ..releases import DownloadError, Weights, WeightsError
from ..variants import Variant
from ..weights import LoadedWeights, describe_json, encode_weights, open_weights
from . import record as records
from .anchors import build_anchor, measure_cost
from .augment import Augment
from .checkpoint import list_checkpoints, load_latest, save_checkpoint, write_atomically
from .checking import BadImages
from .class_weights import make_class_weights
from .config import ANCHORS, Config, config_from_json, make_variant
from .data import DataSet, enlarged, forget_check, load_data, make_loader, make_manifest, reseed
from .distributed import Group, join, was_restarted
from .errors import ConfigError, Interrupted, ReadingError, RunError
from .manifest import NAME as MANIFEST
from .manifest import read_manifest
from .optim import make_ema, make_optimizer, make_scheduler
from .processes import Stop, listening
from .progress import Progress
from .progressive import make_stages, stage_at
from .sampling import count_labels
from .tasks import MultiLabel, SingleLabel


#: The file in a run's folder that lists images which kept it from starting.
BAD_IMAGES = "bad_images.txt"


def fit(run: "Run") -> None:
    """The training loop: ``run`` from where it stands to its last epoch."""
    seed, size = run.config.seed, run.steps_per_epoch
    for epoch in range(len(run.history), run.config.epochs):
        stage = run.begin_epoch(epoch)
        done = run.step - epoch * size  # more than 0 after an interruption

        for batch in run.loader.epoch(epoch, done, stage.resolution):
            reseed(seed, run.step, run.group.rank)
            images, labels = run.augmented(*batch, stage, epoch)
            run.watch(training_step(run, images, labels))
            run.scheduler.step()
            run.step += 1
            run.after_step()  # looks at the loss, saves, stops if asked to

        run.end_epoch(epoch, stage)  # validates, logs, saves


def training_step(run: "Run", images: Tensor, labels: Tensor) -> Tensor:
    """One step of the optimizer; returns the loss, still on the device."""
    loss, parts = 0.0, run.config.accumulate
    pairs = zip(images.chunk(parts), labels.chunk(parts))
    for i, (x, y) in enumerate(pairs):
        with run.sharing_gradients(last=i == parts - 1):
            with run.autocast():
                logits = run.network(x)
            part = run.criterion(logits.float(), y) / parts
            run.scaler.scale(part).backward()
        loss = loss + part.detach()

    if run.config.clip_norm is not None:
        run.scaler.unscale_(run.optimizer)
        clip_grad_norm_(run.model.parameters(), run.config.clip_norm)
    run.scaler.step(run.optimizer)  # the scaler acts in fp16 only
    run.scaler.update()
    run.optimizer.zero_grad()
    run.ema.update_parameters(run.model)
    return loss


@torch.no_grad()
def predict(model: nn.Module, split, run: "Run") -> tuple[Tensor, Tensor, Tensor]:
    """Predicted class, its probability, and the loss, for every image of a split, in its order.

    With several labels for an image, for each label: whether it is predicted, and its probability.

    Each process takes every ``group.size``-th image and no image twice; the sum over the
    processes puts them together. So figures made from these are exact for any number.
    """
    group, count = run.group, len(split)
    out = torch.zeros(run.task.rows, count, dtype=torch.float64, device=group.exact)
    group.broadcast(model)
    model.eval()
    loader = run.loader_for(split)
    batch = max(1, run.config.batch_size // group.size // run.config.accumulate)
    shared = count // group.size // batch  # batches that every process has
    for i, (which, images, labels) in enumerate(loader.once(batch, run.eval_resolution)):
        if i < shared:
            run.stop_if_asked(i)
        with run.autocast():
            logits = model(run.augment.evaluate(images, run.eval_resolution))
        answers = run.task.answer(logits.float().to(group.exact), labels.to(group.exact))
        out[:, which.to(group.exact)] = answers
    return run.task.split(group.sum(out).cpu())


class Run:
    """All that a training run consists of: settings, data, network, and how far it has come."""

    def __init__(
        self, config: Config, data: DataSet, group: Group, output: Path, progress: Progress,
        source: LoadedWeights | None = None, stop: Stop | None = None,
    ):  # fmt: skip
        self.config, self.data, self.group, self.output, self.progress = config, data, group, output, progress
        check_batches(config, data, group)
        if source:
            self.variant = source.weights.variant
        else:
            self.variant = None if config.variant in ANCHORS else make_variant(config.variant)
        if self.variant and config.output_stride is not None:
            try:
                self.variant = self.variant.with_output_stride(config.output_stride)
            except ValueError as error:
                raise ConfigError(str(error)) from None
        self.name = self.variant.name if self.variant else config.variant
        given = config.resolution or data.size
        if not (given or self.variant):
            raise ConfigError(f"variant {config.variant} has no resolution of its own: set resolution")
        self.resolution = given or self.variant.train_resolution
        self.eval_resolution = config.eval_resolution or given or self.variant.resolution
        self.steps_per_epoch = len(data.train) // config.batch_size

        reseed(config.seed)
        device = group.device
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        if self.variant is None:
            model = build_anchor(config.variant, len(data.classes), data.channels, config.dropout or 0.0)
        else:
            model = self.build(source)
        self.model = model.to(device, memory_format=layout)
        self.stages = make_stages(config, self.resolution, model.dropout.p)
        check_sizes(config, data, group, self.variant, min(stage.resolution for stage in self.stages))
        self.ema = make_ema(self.model, config.ema_decay)
        self.optimizer = make_optimizer(self.model, config)
        self.scheduler = make_scheduler(self.optimizer, config, self.steps_per_epoch)
        self.precision = choose_precision(config.precision, device)
        self.scaler = make_scaler(device, self.precision)
        self.frozen = False
        self.network = self.wrap()
        self.task = make_task(config, data)
        self.criterion = self.task.criterion(config.label_smoothing).to(device)
        self.augment = Augment(config, data.mean, data.std, len(data.classes))
        largest = max(self.eval_resolution, *(stage.resolution for stage in self.stages))
        self.loader = make_loader(data.train, config, group, progress.warn, largest)
        self._evaluated = self._eval_loader = None

        self.step = 0
        self.history: list[dict] = []
        self.best: dict | None = None
        self.resumed = 0
        self.stop = stop or Stop()
        self._saved = None
        self._pending: list[tuple[int, float, Tensor]] = []
        self._loss_sum, self._loss_count, self._last_lr = 0.0, 0, 0.0
        self._wall_before, self._started = 0.0, time.monotonic()
        self._begun = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.clock = Clock()

    def build(self, source: LoadedWeights | None) -> nn.Module:
        """The network that the settings describe, with the weights that it starts from.

        Raises:
            ConfigError: the weights do not fit.
        """
        cfg, classes = self.config, self.data.classes
        try:
            model = build_model(
                self.variant, len(classes), self.data.channels, padding=source and source.weights.padding,
                dropout=cfg.dropout, stochastic_depth_rate=cfg.stochastic_depth_rate,
                norm_eps=cfg.norm_eps, norm_momentum=cfg.norm_momentum,
                gradient_checkpointing=cfg.gradient_checkpointing,
            )  # fmt: skip
            if source:
                same = same_classes(source.weights, classes) and source.weights.multi_label == self.data.multi_label
                source.copy_to(model, new_head=not same)
        except WeightsError as error:
            raise ConfigError(f"weights: {error}") from None
        model.weights = self.describe(model, source)
        return model

    @property
    def backbone(self) -> tuple[nn.Module, ...]:
        """All of the network but its classifier."""
        return self.model.stem, self.model.stages, self.model.head

    def wrap(self) -> nn.Module:
        """The model as the loop calls it: over all processes, compiled if asked for."""
        network = self.model
        if self.group.size > 1:
            device = self.group.device
            ids = [device.index] if device.type == "cuda" else None
            network = DistributedDataParallel(network, device_ids=ids)
        return torch.compile(network) if self.config.compile else network

    def describe(self, model: nn.Module, source: LoadedWeights | None) -> Weights:
        """What the saved weights will say about themselves: images are prepared as in the evaluation."""
        data, size = self.data, self.eval_resolution
        streams = data.train.images is None
        mean, std = (tuple(v / 255 for v in values) for values in (data.mean, data.std))
        started = f" from {source.weights.name}" if source else ""
        return Weights(
            name="effnet_lib", variant=model.variant, padding=model.padding, num_classes=len(data.classes),
            preprocessing=Preprocessing(enlarged(size) if streams else size, size, "bilinear", mean, std),
            categories=data.classes, source=f"recipe {self.config.recipe} on {data.id}{started}",
            licence=source.weights.licence if source else None, multi_label=data.multi_label,
        )  # fmt: skip

    # What the loop calls

    def begin_epoch(self, epoch: int):
        """Set size and regularisation for the epoch, and the network to training."""
        stage = stage_at(self.stages, epoch, self.config.epochs)
        if self.frozen != (epoch < self.config.freeze_epochs):
            self.frozen = not self.frozen
            for part in self.backbone:
                part.requires_grad_(not self.frozen)
            self.network = self.wrap()  # DistributedDataParallel must know whose gradients will come
        self.network.train()
        if self.frozen:
            for part in self.backbone:
                part.eval()
        self.model.dropout.p = stage.dropout
        if self.config.freeze_norm:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        self.clock.start()
        return stage

    def augmented(self, images: Tensor, labels: Tensor, stage, epoch: int) -> tuple[Tensor, Tensor]:
        """A batch as the network sees it: changed at random, normalised, and mixed but in the last epochs."""
        mix = epoch < self.config.epochs - self.config.plain_epochs
        return self.augment.train(images, labels, stage, self.loader.cropped, mix)

    def autocast(self):
        """Half-precision arithmetic where the run uses it."""
        kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        return torch.autocast(self.group.device.type, dtype=kind) if kind else contextlib.nullcontext()

    def sharing_gradients(self, last: bool):
        """Let processes add up their gradients only after the last part of a batch."""
        wait = self.group.size > 1 and not last
        ddp = getattr(self.network, "_orig_mod", self.network)  # under torch.compile
        return ddp.no_sync() if wait else contextlib.nullcontext()

    def watch(self, loss: Tensor) -> None:
        """Remember the loss of this step, without waiting for the device to compute it."""
        self._last_lr = self.optimizer.param_groups[0]["lr"]
        self._pending.append((self.step, self._last_lr, loss))

    def after_step(self) -> None:
        """Look at the losses and save where due; save and stop where a signal asked for it."""
        cfg = self.config
        within = self.step % self.steps_per_epoch != 0
        save = within and cfg.checkpoint_every and self.step % cfg.checkpoint_every == 0
        if save or self.step % cfg.log_every == 0:
            self.look()
        self.stop_if_asked(self.step)
        if save:
            self.save()

    def stop_if_asked(self, turn: int = 0) -> None:
        """Save and stop where a signal has asked for it; processes agree on it every so many turns.

        Raises:
            Interrupted: it was asked for.
        """
        # A GPU would have to wait for the answer; the processes of a CPU wait for one another anyway.
        if self.group.size > 1 and self.group.device.type != "cpu" and turn % self.config.log_every:
            return
        if number := self.group.agree(self.stop.number):
            self.rescue()
            name = signal.Signals(number).name
            raise Interrupted(f"{name}: saved after step {self.step}; go on with --resume", 128 + number)

    def rescue(self) -> None:
        """Save where the run stands, between two steps, unless that is saved already."""
        if self._saved != (self.step, len(self.history)):
            self.look()
            self.save()

    def look(self) -> None:
        """Fetch the losses since the last look, averaged over the processes; stop if one is not finite."""
        if not self._pending:
            return
        losses = torch.stack([loss.float() for _, _, loss in self._pending]).to(self.group.exact).double()
        losses = self.group.sum(losses).tolist()
        for (step, lr, _), total in zip(self._pending, losses):
            loss = total / self.group.size
            if not math.isfinite(loss):
                raise RunError(self._not_finite(f"the loss is {loss}", step, lr))
            self._loss_sum += loss
            self._loss_count += 1
        self.clock.count(len(self._pending) * self.config.batch_size)
        entry = {"event": "step", "epoch": step // self.steps_per_epoch, "step": step + 1}
        entry |= {"lr": lr, "loss": loss, "images_per_second": round(self.clock.rate, 1)}
        self._pending = []
        self.progress.step(entry, self)

    def end_epoch(self, epoch: int, stage) -> None:
        """Validate with the averaged weights, write the log, and save a checkpoint."""
        cfg = self.config
        self.look()
        last = epoch + 1 == cfg.epochs
        self.clock.stop()
        entry = {
            "epoch": epoch, "step": self.step, "resolution": stage.resolution,
            "lr": self.optimizer.param_groups[0]["lr"], "train_loss": self._loss_sum / max(1, self._loss_count),
            "validation_loss": None, "validation_accuracy": None,
            "images_per_second": round(self.clock.rate, 1), "seconds": round(self.clock.seconds, 3),
        }  # fmt: skip
        evaluated = last or (epoch + 1) % cfg.evaluate_every == 0
        if evaluated:
            predicted, probability, losses = predict(self.ema.module, self.data.validation, self)
            entry["validation_loss"] = float(losses.mean())
            metrics = self.task.metrics(predicted, probability, self.data.validation.labels)
            metrics = {f"validation_{name}": value for name, value in metrics.items()}
            entry |= metrics
            if self.best is None or metrics[self.task.metric] > self.best[self.task.metric]:
                self.best = metrics | {"step": self.step, "epoch": epoch}
        self._loss_sum, self._loss_count = 0.0, 0  # only now: what stops the validation may save before
        self.clock = Clock()
        self.history.append(entry)
        self.progress.epoch({"event": "epoch"} | entry, self)
        if evaluated:
            self.save()
        if not last:
            self.stop_if_asked()

    # Saving and going on

    def loader_for(self, split):
        """A loader for evaluation, kept with its workers until another split is asked for."""
        if split is not self._evaluated:
            if self._eval_loader:
                self._eval_loader.close()
            self._eval_loader = make_loader(split, self.config, self.group, size=self.eval_resolution)
            self._evaluated = split
        return self._eval_loader

    def close(self) -> None:
        """End all workers."""
        for loader in (self.loader, self._eval_loader):
            if loader:
                loader.close()

    @property
    def wall(self) -> float:
        """Seconds spent so far, those before an interruption included."""
        return self._wall_before + time.monotonic() - self._started

    def save(self) -> None:
        """Write a checkpoint from which a run goes on bit for bit."""
        norms = torch.stack(torch._foreach_norm([p.detach() for p in self.model.parameters()]))
        if not bool(norms.isfinite().all()):
            raise RunError(self._not_finite("the weights are not finite", self.step - 1, self._last_lr))
        self._saved = self.step, len(self.history)
        if not self.group.is_main:
            return
        state = {
            "format": 1,
            "config": self.config.to_json(),
            "dataset": {"id": self.data.id, "sha256": self.data.sha256},
            "step": self.step,
            "effnet_lib": describe_json(self.ema.module) if self.variant else None,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "history": self.history,
            "best": self.best,
            "loss": [self._loss_sum, self._loss_count],
            "clock": [self.clock.seconds_now, self.clock.images],
            "wall": self.wall,
            "begun": self._begun,
            "resumed": self.resumed,
            "computed": self.computed,
        }
        best_step = self.best["step"] if self.best else None
        save_checkpoint(self.output / "checkpoints", self.step, state, self.config.keep, best_step)

    def restore(self, state: dict) -> None:
        """Go on from ``state``.

        Raises:
            ConfigError: it belongs to other data.
        """
        if state["dataset"]["sha256"] != self.data.sha256:
            raise ConfigError(
                f"the data have changed: the run was begun with {state['dataset']['id']} of SHA-256 "
                f"{state['dataset']['sha256'][:16]}…, and they now have {self.data.sha256[:16]}…. Give the run its data "
                "back, or begin another with a new --output"
            )
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        if state["scaler"] and self.scaler.is_enabled():  # begun, and going on, in fp16
            self.scaler.load_state_dict(state["scaler"])
        if (before := state.get("computed", self.computed)) != self.computed:
            self.progress.warn(f"the run was begun {before}, and goes on {self.computed}: figures will differ by rounding")
        self.step, self.history, self.best = state["step"], state["history"], state["best"]
        self._loss_sum, self._loss_count = state["loss"]
        self.clock.seconds, self.clock.images = state["clock"]
        self._wall_before, self._begun = state["wall"], state["begun"]
        self.resumed = state["resumed"] + 1
        self._saved = self.step, len(self.history)

    @property
    def computed(self) -> str:
        """How and on what the run computes: what a machine may choose, and what shows in the last digits."""
        layout = ", channels last" * self.config.channels_last + ", compiled" * self.config.compile
        return f"in {self.precision}{layout} on {self.group.device.type}"

    def _not_finite(self, what: str, step: int, lr: float) -> str:
        causes = [f"a learning rate that is too high (try --set lr={self.config.lr / 4:g})"]
        if self.config.clip_norm is None:
            causes.append("single large gradients (try --set clip_norm=1)")
        if self.precision == "fp16":
            causes.append("the small range of fp16 (try --set precision=fp32)")
        if self.config.warmup_epochs == 0:
            causes.append("no warm-up (try --set warmup_epochs=2)")
        return (
            f"{what} at step {step} (epoch {step // self.steps_per_epoch}), with a learning rate of "
            f"{lr:.4g}. Likeliest causes: {'; '.join(causes)}. The last good checkpoint is kept in "
            f"{self.output / 'checkpoints'}"
        )

    # The end

    def cost(self) -> tuple[int, int | None]:
        """Parameters, and multiply-adds for one image of evaluation; None where it is too small to count."""
        channels, size = self.data.channels, self.eval_resolution
        if self.variant is None:
            return measure_cost(self.model, size, channels)
        counted = max(size, self.variant.output_stride)  # parameters do not depend on it
        cost = count_cost(self.variant, counted, len(self.data.classes), channels)
        return cost.parameters, cost.multiply_adds if counted == size else None

    def finish(self) -> dict:
        """Look at the test images, once, and make the record; the weights are written before."""
        from .report import write_report

        if self.group.is_main:
            self.save_weights(None)  # whatever befalls the test images, they are there
        data, final = self.data, {}
        for name in ("validation", "test"):
            split = getattr(data, name)
            predicted, probability, losses = predict(self.ema.module, split, self)
            metrics = self.task.metrics(predicted, probability, split.labels)
            final |= {f"{name}_{metric}": value for metric, value in metrics.items()}
            final[f"{name}_loss"] = float(losses.mean())
            raw, shares, _ = predict(self.model, split, self)
            metrics = self.task.metrics(raw, shares, split.labels)
            final |= {f"{name}_{metric}_without_ema": value for metric, value in metrics.items()}
        final |= {"best_epoch": self.best["epoch"], "best_validation_accuracy": self.best["validation_accuracy"]}
        if data.multi_label:
            final[f"best_{self.task.metric}"] = self.best[self.task.metric]
        final |= self.task.by_class(predicted, probability, data.test.labels)
        device = self.group.device
        seconds = sum(entry["seconds"] for entry in self.history)
        parameters, multiply_adds = self.cost()
        record = {
            "schema": "effnet-record-1",
            "command": records.command_line(),
            "commit": records.commit(),
            "started": self._begun,
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seed": self.config.seed,
            "config": json.loads(self.config.to_json()),
            "dataset": {
                "id": data.id, "sha256": data.sha256, "hash_of": data.hash_of, "classes": list(data.classes),
                "train": len(data.train), "validation": len(data.validation), "test": len(data.test),
            } | records.images_left_out(data.skipped, data.lost, data.replaced),
            "model": {
                "variant": self.name, "parameters": parameters, "multiply_adds": multiply_adds,
                "resolution": self.eval_resolution,
                "output_stride": self.variant.output_stride if self.variant else 8,
            },
            "device": {
                "name": records.device_name(device), "type": device.type, "processes": self.group.size,
                "threads": torch.get_num_threads(), "precision": self.precision,
            },
            "versions": records.versions(),
            "epochs": self.history,
            "images_per_second": round(len(self.history) * self.steps_per_epoch * self.config.batch_size / seconds, 1),
            "wall_time_s": round(self.wall, 3),
            "peak_memory_bytes": records.peak_memory(device),
            "resumed": self.resumed,
            "final": final,
        }  # fmt: skip
        record["dataset"] |= {"multi_label": True} if data.multi_label else {}
        if self.task.class_weights is not None or self.config.sampling != "shuffle" or data.multi_label:
            record["dataset"]["train_per_class"] = count_labels(data.train.labels, len(data.classes)).tolist()
        if self.task.class_weights is not None:
            record["class_weights"] = self.task.class_weights
        records.check_record(record)
        if self.group.is_main:
            self.save_weights(None if data.multi_label else round(100 * final["test_accuracy"], 3))
            write_report(self.output, record, data.test, predicted, probability, losses)
            text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
            # A path in the command may hold bytes that are no text: written as JSON's own escapes.
            write_atomically(self.output / "record.json", text.encode(errors="backslashreplace"))
        return record


    def save_weights(self, top1: float | None) -> None:
        """Write the averaged weights, and with them what is known about them; ``top1`` is None before the test."""
        model = self.ema.module
        if self.variant is None:  # an anchor: a bare state dict
            buffer = io.BytesIO()
            torch.save(model.state_dict(), buffer)
            return write_atomically(self.output / "weights.pt", buffer.getvalue())
        model.weights = replace(model.weights, top1=top1)
        for suffix in weight_files():
            write_atomically(self.output / f"weights{suffix}", encode_weights(model, suffix))


class Clock:
    """Seconds and images of one epoch's training, without validation."""

    def __init__(self):
        self.seconds, self.images, self._since = 0.0, 0, None

    def start(self) -> None:
        self._since = time.monotonic()

    def stop(self) -> None:
        self.seconds, self._since = self.seconds_now, None

    def count(self, images: int) -> None:
        self.images += images

    @property
    def seconds_now(self) -> float:
        return self.seconds + (time.monotonic() - self._since if self._since else 0.0)

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / max(self.seconds_now, 1e-9)


def open_source(config: Config) -> LoadedWeights | None:
    """The weights that ``config`` starts from, fetched and checked; None if it starts afresh.

    Raises:
        ConfigError: they are unknown, damaged, or of another variant.
        RunError: they cannot be fetched.
    """
    if not config.weights:
        if config.recipe == "fine_tune":
            raise ConfigError("the recipe fine_tune starts from weights: give --weights lite or --weights FILE")
        return None
    variant = config.variant
    if variant is not None and "=" in variant:
        variant = make_variant(variant)
    try:
        return open_weights(config.weights, variant, norm_eps=config.norm_eps)
    except DownloadError as error:
        raise RunError(str(error)) from None
    except ImportError:
        raise
    except WeightsError as error:
        raise ConfigError(f"weights: {error}") from None


def make_task(config: Config, data: DataSet) -> SingleLabel:
    """What the run learns, with the weights of the classes that it asks for.

    Raises:
        ConfigError: the weights do not fit the classes.
    """
    counts = count_labels(data.train.labels, len(data.classes)).tolist()
    weights = make_class_weights(config.class_weights, counts, len(data.train), data.classes, data.multi_label)
    return (MultiLabel if data.multi_label else SingleLabel)(data.classes, weights)


def same_classes(weights: Weights, classes: tuple[str, ...]) -> bool:
    """Whether the classifier of ``weights`` serves these classes; without names, their number tells."""
    return weights.num_classes == len(classes) and weights.categories in (None, tuple(classes))


def weight_files() -> list[str]:
    """Kinds of files that weights are saved as: a state dict, and safetensors where it is installed."""
    import importlib.util

    return [".pt", ".safetensors"] if importlib.util.find_spec("safetensors") else [".pt"]


def choose_precision(wanted: str, device: torch.device) -> str:
    """``fp32``, ``bf16`` or ``fp16``: what was wanted, or the best that the device really does.

    bf16 from compute capability 8.0 on (torch would emulate it on older GPUs, slowly), fp16
    from 7.0 on, where tensor cores begin; fp32 on a CPU and on Apple's GPUs, which do nothing else here.

    Raises:
        ConfigError: the device cannot do what was wanted.
    """
    if device.type == "cpu":
        if wanted == "fp16":
            raise ConfigError("precision fp16 needs a GPU: use fp32, bf16 or auto")
        return "fp32" if wanted == "auto" else wanted
    if device.type == "mps":
        if wanted in ("fp16", "bf16"):
            raise ConfigError(f"precision {wanted} is not for device mps: use fp32 or auto")
        return "fp32"
    capability = torch.cuda.get_device_capability(device)
    if wanted == "auto":
        return "bf16" if capability >= (8, 0) else "fp16" if capability >= (7, 0) else "fp32"
    if wanted == "bf16" and capability < (8, 0):
        raise ConfigError(f"precision bf16 needs compute capability 8.0, and this GPU has {capability}: use fp16")
    return wanted


def make_scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """The scaler of losses; it acts in fp16 only, which is for CUDA GPUs, so that others need not know it."""
    fp16 = precision == "fp16"
    return torch.amp.GradScaler(device.type if fp16 else "cpu", enabled=fp16)


def check_batches(config: Config, data: DataSet, group: Group) -> None:
    """Every process must get the same whole share of each batch, and an epoch at least one.

    Raises:
        ConfigError: it cannot be cut so.
    """
    parts = group.size * config.accumulate
    if config.batch_size % parts:
        raise ConfigError(
            f"batch_size = {config.batch_size} cannot be shared by {group.size} processes in "
            f"{config.accumulate} parts each: choose a multiple of {parts}, or another number of processes"
        )
    if len(data.train) < config.batch_size:
        raise ConfigError(
            f"{len(data.train)} training images are too few for one batch of {config.batch_size}: "
            + (f"try --batch-size {fitting}" if (fitting := _fitting_batch(len(data.train), parts)) else "add images")
        )


def _fitting_batch(images: int, parts: int) -> int:
    """A batch that so many images fill, two of them if they can; 0 where not even one image a part is there."""
    size = 2 ** int(math.log2(images))
    size = size // 2 if size > 3 else size
    return max(parts, size // parts * parts) if images >= max(2, parts) else 0


def check_sizes(config: Config, data: DataSet, group: Group, variant: Variant | None, smallest: int) -> None:
    """Crops must fit the images, and batch norm needs more than one number for each channel.

    Args:
        smallest: resolution of the run.

    Raises:
        ConfigError: they do not.
    """
    if config.crop == "pad" and data.size and config.pad >= data.size:
        raise ConfigError(f"pad = {config.pad} must be less than the side of the images, {data.size} pixels")
    together = config.batch_size // (group.size * config.accumulate)
    stride = variant.output_stride if variant else 1
    if together == 1 and smallest <= stride and not config.freeze_norm:
        raise ConfigError(
            f"one image at a time, {smallest} pixels wide at output stride {stride}, leaves batch norm one number "
            "for each channel: use a larger batch_size, less accumulate or a smaller output_stride"
        )


def train(
    config: Config,
    output: str | Path,
    resume: bool = False,
    *,
    data_id: str | None = None,
    quiet: bool = False,
    tensorboard: bool = False,
    on_epoch=None,
) -> dict:
    """Train by ``config`` and return the record.

    Args:
        config: of the run.
        output: folder for ``record.json``, ``config.json``, ``files.json.gz`` (the images of a folder and
            their splits), ``log.jsonl``, ``checkpoints/``, ``weights.pt`` and ``weights.safetensors`` (EMA) and the report.
        resume: go on with the run in ``output``, if there is one; without it, a folder that
            holds a run is refused.
        data_id: a name for the data in the record, in place of the folder's.
        quiet: print nothing.
        tensorboard: write TensorBoard events to ``output/tensorboard``.
        on_epoch: called after each epoch with the history so far (see :class:`LivePlot`).

    Raises:
        ConfigError: what was asked for cannot be done.
        BadImages: files that cannot be read, where ``config.on_bad_image`` is ``stop``.
        RunError: the environment failed; Interrupted after a signal. Checkpoints are whole.
    """
    output = expand(output)
    with listening() as stop, join(config.device) as group:
        resume = resume or was_restarted()
        if group.is_main:
            prepare(output, resume)
        if group.size > 1:
            group.share(None)
        with Progress(output, group.is_main, quiet, tensorboard, on_epoch) as progress:
            state = load_latest(output / "checkpoints", progress.warn) if resume else None
            if state is not None:
                check_same(state, config, output)
                if len(state["history"]) == config.epochs and (output / "record.json").exists():
                    progress.say(f"{output} is finished already")
                    return records.read_record(output)
            with explaining_memory(config):
                with group.main_first():
                    source = open_source(config)
                data = load_together(config, output, resume, data_id, source, group, progress)
                run = Run(config, data, group, output, progress, source, stop)
            if state is not None:
                run.restore(state)
            if group.is_main:
                write_atomically(output / "config.json", (config.to_json() + "\n").encode())
                if state is None and data.root is not None:
                    write_atomically(output / MANIFEST, make_manifest(data).encode())
            for line in data.found:
                progress.say(line)
            for line in data.warnings:
                progress.warn(line)
            progress.begin(run)
            stop.wait(progress.say)
            with contextlib.closing(run), explaining_memory(config), saving_what_is_done(run):
                fit(run)
                run.loader.close()
                record = run.finish()
            progress.end(record)
            return record


@contextlib.contextmanager
def saving_what_is_done(run: Run):
    """Where images cannot be read, save first: that happens between two steps, when the run is whole.

    An image that turns out to be bad after all has the check of all images begin anew at the next start.
    """
    try:
        yield
    except ReadingError as error:
        bad = isinstance(error, BadImages)
        if bad and run.group.is_main:
            forget_check(run.data)
        ended = len(run.history) == run.config.epochs
        if ended or not run.step or (run.group.size > 1 and run._pending):  # to look at losses takes all processes
            raise
        run.rescue()
        if bad:
            raise BadImages(f"{error}. Saved after step {run.step}", error.reasons) from None
        raise


def check_same(state: dict, config: Config, output: Path) -> None:
    """A run goes on as it was begun.

    Raises:
        ConfigError: the checkpoint ``state`` is of a run with other settings.
    """
    begun = config_from_json(state["config"])
    differences = begun.differences(config)
    if not differences:
        return
    if any(text.startswith("epochs was") for text in differences):
        ended = len(state["history"]) == begun.epochs
        raise ConfigError(_other_epochs(begun, config, output, ended, [d for d in differences if not d.startswith("epochs")]))
    raise ConfigError(
        f"{output} was begun with another configuration ({'; '.join(differences)}): "
        "give the same, or another --output"
    )


def _other_epochs(begun: Config, config: Config, output: Path, ended: bool, others: list[str]) -> str:
    """Why a run cannot become longer or shorter, and what can be done in place of that."""
    more = config.epochs - begun.epochs if config.epochs > begun.epochs else config.epochs
    weights = min(output.glob("weights.*"), key=lambda path: path.suffix == ".pt", default=output / "weights.safetensors")
    on = ["effnet", "train", "--config", output / "config.json", "--weights", weights, "--epochs", more]
    on += ["--output", output.with_name(output.name + "-on")]
    on += ["--set", "warmup_epochs=0"] * (begun.warmup_epochs > more) + ["--set", "freeze_epochs=0"] * (begun.freeze_epochs > more)
    also = f" ({'; '.join(others)}, too)" if others else ""
    what = f"{output} was begun with epochs = {begun.epochs}, not {config.epochs}{also}, and its learning rate follows from that"
    if begun.variant in ANCHORS:
        return f"{what}: for {config.epochs} epochs, begin anew with another --output"
    train_on = f"train on from its weights: {shlex.join(map(str, on))}"
    if ended:
        return f"{what}; it has ended. To go further, {train_on}"
    return f"{what}: go on with --resume --epochs {begun.epochs}, and after its end {train_on}"


def prepare(output: Path, resume: bool) -> None:
    """Make the folder of a run, or say why not.

    Raises:
        ConfigError: it holds a run already and ``resume`` is false.
        RunError: it cannot be made or written to.
    """
    try:
        held = [name for name in ("record.json", "log.jsonl") if (output / name).exists()]
        held += [path.name for path in (output / "checkpoints").glob("step-*.pt")]
        if held and not resume:
            raise ConfigError(f"{output} holds a run already ({held[-1]}): --resume goes on with it, or choose another")
        (output / "checkpoints").mkdir(parents=True, exist_ok=True)
        probe = output / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise RunError(f"cannot write to {shown(output)}: {error.strerror}") from error


def load_together(
    config: Config, output: Path, resume: bool, data_id: str | None, source: LoadedWeights | None, group: Group,
    progress: Progress,
) -> DataSet:
    """The data of a run, on every process; the main one alone looks at the files.

    Raises:
        ConfigError, RunError: as :func:`load_data`.
    """  # fmt: skip
    begun = resume and bool(list_checkpoints(output / "checkpoints"))
    manifest = read_manifest(output / MANIFEST) if begun else None
    preprocessing = source and source.weights.preprocessing

    def load(bad=None, tick=None) -> DataSet:
        return load_data(config, data_id, preprocessing, manifest, progress, bad, tick)

    if not group.is_main:
        while isinstance(bad := group.share(None), str):
            pass  # the main process is still at it
        return load(bad=bad)
    try:
        data = load(tick=lambda: group.share("checking"))
    except BadImages as error:  # that --resume may go on, and that all of them are named
        if not begun:
            write_atomically(output / "config.json", (config.to_json() + "\n").encode())
        write_atomically(output / BAD_IMAGES, "".join(f"{shown(r)}\n" for r in error.reasons.values()).encode())
        raise BadImages(f"{error} ({output / BAD_IMAGES} lists all)", error.reasons) from None
    group.share(data.skipped)
    (output / BAD_IMAGES).unlink(missing_ok=True)  # of an earlier attempt
    return data


@contextlib.contextmanager
def explaining_memory(config: Config):
    """Turn running out of memory into advice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        out = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError))
        if not (out or "can't allocate memory" in str(error) or "MPS backend out of memory" in str(error)):
            raise
        raise RunError(out_of_memory(config)) from error


def out_of_memory(config: Config) -> str:
    """What to try when a batch does not fit."""
    parts = config.accumulate * 2
    while config.batch_size % parts and parts < config.batch_size:
        parts += 1
    if parts > config.batch_size:
        return f"out of memory with {config.batch_size} images a batch: use a smaller variant or resolution"
    return (
        f"out of memory with batch_size = {config.batch_size} in {config.accumulate} parts: try --set "
        f"accumulate={parts} (the same batch, {config.batch_size // parts} images at a time), or --batch-size "
        f"{max(1, config.batch_size // 2)} (the learning rate follows). What was saved is kept: a changed run "
        "needs another --output"
    )
