"""Pretraining: one run from its settings and prepared data to an encoder and a bank.

Protocol of docs/protocol.md: one view an image and step, contrasted with the bank; SGD; the bank is
updated after the optimiser's step with that step's embeddings. All randomness belongs to
(seed, epoch, instance), so the position (epoch, step) and the tensors are the whole state: a run
that was killed and resumed ends with the same bytes as one that was not. Several processes may
share a run: each takes its part of every batch, and all sum what they found (see ``processes``).
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.sgd import sgd

from tausweep import losses
from tausweep.data.prepared import Prepared
from tausweep.losses import own_loss
from tausweep.machine import kernel_choice
from tausweep.machine.peers import ALONE, Processes
from tausweep.machine.repeatable import set_repeatable
from tausweep.model.bank import MemoryBank
from tausweep.model.encoder import Encoder, set_tf32
from tausweep.study import RunSettings, StudyError
from tausweep.training.checkpoints import CheckpointFile, tensors_digest
from tausweep.training.step_graph import StepGraph
from tausweep.views import rendering
from tausweep.views.batches import Pixels, pixels, resident
from tausweep.views.parameters import ViewParameters

HISTORY = ("epoch", "lr", "loss", "positive_similarity", "seconds", "images_per_second")

Message = Callable[[str], None]
Keep = Callable[[int, Encoder, MemoryBank], None]
"""Is given the encoder and the bank after an epoch, counted from 1; changes neither."""


class StoppedError(Exception):
    """The run was asked to stop; its checkpoint is saved."""


@dataclass
class Pretrained:
    """What a run of pretraining ends with.

    Attributes:
        outcome: ``complete``, or ``diverged`` when the loss was not finite.
        encoder: Trunk and head, on the run's device, in eval mode.
        bank: Its memory bank.
        history: One row an epoch, keyed by ``HISTORY``.
    """

    outcome: str
    encoder: Encoder
    bank: MemoryBank
    history: list[dict[str, float]]


@dataclass
class _Position:
    """Where a run is: epochs done, steps done of the present one, its sums so far."""

    epoch: int = 0
    step: int = 0
    steps: int = 0
    loss: float = 0.0
    positive_similarity: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def pretrain(
    settings: RunSettings,
    data: Prepared,
    device: torch.device,
    checkpoints: CheckpointFile,
    *,
    say: Message,
    stop: Callable[[], bool] = lambda: False,
    checkpoint_seconds: float = 60.0,
    processes: Processes = ALONE,
    keep: Keep | None = None,
) -> Pretrained:
    """Train the run's encoder, from its checkpoint if there is one.

    Args:
        settings: The run's resolved settings.
        data: Prepared data; only the training images are used, never their labels.
        device: Where to train.
        checkpoints: Where the state is kept.
        say: Takes a progress line an epoch, and every message about checkpoints.
        stop: Asked after every step; when true, the state is saved and the run ends.
        checkpoint_seconds: Least time between checkpoints.
        processes: Those that share the run. The first saves and speaks; a stop that one of them is
            asked for stops all of them after the same step.
        keep: Called in the first process after every epoch, before the state after it is saved: a
            resumed run has kept what the one before has passed.

    Raises:
        StoppedError: ``stop`` was true.
        StudyError: K is larger than the bank, a batch cannot be normalised, or it has no part for
            every process.
        ProcessesError: Another process ended, or has other weights or another bank.
    """
    trainer = Trainer(settings, data, device, processes)
    if (found := checkpoints.load(say)) is not None:
        trainer.restore(found.tensors, found.position)
        at = trainer.position
        say(f"resumed at epoch {at.epoch + 1}, step {at.step + 1}, from {checkpoints.path.name}")
    trainer.check_same()
    saved = time.monotonic()

    def stopped() -> bool:
        """Whether to stop here; saves before that, and when it is due."""
        nonlocal saved
        due = time.monotonic() - saved >= checkpoint_seconds
        stopping, saving = processes.any(stop(), due and processes.first)
        if stopping or saving:
            trainer.check_same()
            if processes.first:
                checkpoints.save(*trainer.state())
            processes.any(True)  # nobody leaves, or goes on, before it is saved
            saved = time.monotonic()
        return stopping

    try:
        for _ in trainer.steps_left(say, keep if processes.first else None):
            if stopped() and not trainer.done:
                at = trainer.position
                where = f"at epoch {at.epoch + 1}, step {at.step}"
                if at.step == 0:
                    where = f"after epoch {at.epoch}"
                raise StoppedError(f"stopped and saved {where}")
    except FloatingPointError as error:
        say(f"diverged: {error}")
        return trainer.result("diverged")
    return trainer.result("complete")


class Trainer:
    """State of a run and the steps that move it on.

    On a GPU it works on the stream that is current when it is made and in every call, and the host
    waits for it once an epoch: an epoch's order and views are brought there at once, drawn while
    the epoch before was computed, and a step is one graph over fixed tensors.

    Args:
        settings: The run's resolved settings.
        data: Prepared data; only the training images are used.
        device: Where to train.
        processes: Those that share the run.
        graphs: Whether whole batches go through fixed tensors and a recorded step; by default on a
            GPU, for a run that no other process shares and whose loss is not a plug-in, which may
            wait for the host. The numbers are the same.
        compiled: Whether torch.compile fuses the encoder's operations for whole batches. The
            numbers differ in their last bits.
    """

    def __init__(
        self,
        settings: RunSettings,
        data: Prepared,
        device: torch.device,
        processes: Processes = ALONE,
        *,
        graphs: bool | None = None,
        compiled: bool = False,
    ) -> None:
        self.settings, self.device, self.processes = settings, device, processes
        self.count = len(data.train_images)
        self.batch = settings.pretrain.batch_size
        self.steps = math.ceil(self.count / self.batch)
        settings.check_batches(self.count)
        _check_shares(settings, processes)
        images, size = resident(data.train_images, device), settings.dataset.image_size
        self.pixels: Pixels = pixels(images, size, data.mean, data.std, device)
        if settings.pretrain.epochs > 0:
            self.loss = make_loss(settings, self.count)
        self.position = _Position()
        encoder = Encoder(settings.encoder, settings.seed, settings.pretrain.bn_group, processes)
        self.encoder = encoder.to(device).to(memory_format=torch.channels_last).train()
        self.bank = MemoryBank(
            self.count,
            settings.encoder.dim,
            settings.pretrain.bank_momentum,
            bank_seed(settings.seed),
            device,
        )
        self.parameters: list[Tensor] = list(self.encoder.parameters())
        self.momentum: list[Tensor | None] = [None] * len(self.parameters)
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)
        # On a GPU a step's numbers are only asked for when an epoch ends or a checkpoint is due.
        self.waiting_costs = device.type != "cpu"
        set_repeatable()
        self._set_precision()
        if graphs is None:
            own_loss = settings.loss.module is not None
            graphs = device.type == "cuda" and processes.count == 1 and not own_loss
        self.graphs, self.compiled = graphs, compiled
        # Compiled for the shape of whole batches, and not once more for the partial one.
        self._of_whole_batch = torch.compile(self.encoder) if compiled else self.encoder
        self._recorded: tuple[float, StepGraph] | None = None
        self._warm = False
        if graphs:
            self._index = torch.zeros(self.batch, dtype=torch.int64, device=device)
            self._views = torch.zeros(self.batch, size, size, 3, device=device).permute(0, 3, 1, 2)
        self._drawing = ThreadPoolExecutor(1)
        self._drawn: tuple[int, Future[tuple[Tensor, ViewParameters]]] | None = None

    @property
    def done(self) -> bool:
        """Whether all epochs are."""
        return self.position.epoch >= self.settings.pretrain.epochs

    def steps_left(self, say: Message, keep: Keep | None = None) -> Iterator[None]:
        """Train to the end; control returns after each step, and after an epoch's last is told.

        Args:
            say: Takes a progress line an epoch.
            keep: Called after every epoch.

        Raises:
            FloatingPointError: The run has diverged.
        """
        if self.settings.pretrain.epochs == 0:
            self.take_statistics()
        while not self.done:
            yield from self.epoch()
            say(self.progress())
            if keep:
                keep(self.position.epoch, self.encoder, self.bank)
            yield
        self.check_finite()

    def epoch(self) -> Iterator[None]:
        """Take the remaining steps of the present epoch; control returns after each."""
        at = self.position
        lr = self.settings.pretrain.lr_at(at.epoch)
        began = time.perf_counter()
        for index, batch in self._batches(at.epoch, at.step):
            self._take(index, batch, lr)
            at.step += 1
            if not self.waiting_costs or at.step == self.steps:
                self.read_sums()
            at.steps += 1
            now = time.perf_counter()
            at.seconds, began = at.seconds + now - began, now
            if at.step < self.steps:
                yield
                # The host runs ahead of a GPU, so what passes between two steps is a GPU's time:
                # other runs of this process are in it.
                if not self.waiting_costs:
                    began = time.perf_counter()
        self._close_epoch(lr)

    def _take(self, index: Tensor, batch: Tensor, lr: float) -> None:
        """Take one step, by its graph if there is one, and add to the epoch's sums."""
        if not (self.graphs and self._warm and self._is_whole(index)):
            self.sums += self._step(index, batch, lr)
            self._warm = self._warm or self._is_whole(index)
            return
        self._index.copy_(index)
        self._views.copy_(batch)
        if self._recorded is None or self._recorded[0] != lr:

            def step() -> None:
                self.sums.add_(self._step(self._index, self._views, lr))

            self._recorded = None  # its memory goes before the next one takes as much
            self._recorded = lr, StepGraph(step, self.device)
        self._recorded[1]()

    @torch.no_grad()
    def take_statistics(self) -> None:
        """Let batch norm see an epoch's views, and nothing learn from them.

        With the statistics that a layer is made with, an untrained encoder's features shrink by
        every layer, and a linear probe of fixed lr would see nothing: a baseline too easy to beat.
        """
        self._set_precision()
        if self.parameters:
            for _, batch in self._batches(0, 0):
                self.encoder(batch)

    def _set_precision(self) -> None:
        """Allow TF32 or not: it holds for the process, where another run may have said otherwise.

        A recorded step keeps what it was recorded with.
        """
        set_tf32(self.settings.pretrain.precision == "tf32")

    def read_sums(self) -> None:
        """Bring the epoch's sums to the host; on a GPU this waits for all steps so far.

        Raises:
            FloatingPointError: The loss of a step was not finite.
        """
        at = self.position
        at.loss, at.positive_similarity = self.sums.tolist()
        if not math.isfinite(at.loss):
            raise FloatingPointError(
                f"the loss of epoch {at.epoch + 1} is not finite after step {at.step}"
            )

    def check_finite(self) -> None:
        """Refuse an encoder or bank that the last step's update made infinite.

        Raises:
            FloatingPointError: A weight, statistic or bank entry is not finite.
        """
        for name, tensor in self.state()[0].items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise FloatingPointError(f"{name} is not finite after the last step")

    def check_same(self) -> None:
        """Refuse to go on with processes whose weights, momentum or bank differ.

        Running statistics of ghost batch norm are those of the batch's first group, which the
        first process has; the others take them from it.

        Raises:
            ProcessesError: They differ.
        """
        if self.processes.count == 1:
            return
        buffers = dict(self.encoder.named_buffers())
        for buffer in buffers.values():
            buffer.copy_(self.processes.rows(buffer.reshape(1, -1)[0])[0].view_as(buffer))
        self.processes.check_same("weights, momentum or bank", tensors_digest(self.state()[0]))

    def _close_epoch(self, lr: float) -> None:
        at = self.position
        at.history.append(
            {
                "epoch": at.epoch + 1,
                "lr": lr,
                "loss": at.loss / self.count,
                "positive_similarity": at.positive_similarity / self.count,
                "seconds": at.seconds,
                "images_per_second": self.count / at.seconds,
            }
        )
        at.epoch += 1
        at.step, at.loss, at.positive_similarity, at.seconds = 0, 0.0, 0.0, 0.0
        self.sums.zero_()

    def _draw(self, epoch: int) -> tuple[Tensor, ViewParameters]:
        """The order of an epoch and its views, where the pixels are looked up."""
        order = rendering.order(self.count, self.settings.seed, epoch)
        drawn = self.pixels.draw(self.settings.views, self.settings.seed, epoch)
        return self.pixels.staged(order, drawn)

    def _drawn_ahead(self, epoch: int) -> tuple[Tensor, ViewParameters]:
        """What ``_draw`` gives, drawn while the epoch before was computed, if on a GPU."""
        if not self.waiting_costs:
            return self._draw(epoch)
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = epoch, self._drawing.submit(self._draw, epoch)
        found = self._drawn[1].result()
        if epoch + 1 < self.settings.pretrain.epochs:
            self._drawn = epoch + 1, self._drawing.submit(self._draw, epoch + 1)
        return found

    def _batches(self, epoch: int, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Index and views of the epoch's steps from ``first_step`` on."""
        order, drawn = self.pixels.placed(*self._drawn_ahead(epoch))
        at_once = max(1, self.pixels.images_at_once() // self.batch)
        # Chunks start where they start in an undisturbed epoch, so that a resumed one computes
        # its views in the same shapes, hence to the same bits.
        chunks = range(first_step - first_step % at_once, self.steps, at_once)
        batches = [order[c * self.batch : (c + at_once) * self.batch] for c in chunks]
        steps = [batch.split(self.batch) for batch in batches]
        own = [[self._own(index) for index in chunk] for chunk in steps]
        found = self.pixels.views(map(torch.cat, own), drawn)
        for chunk, indices, parts, rendered in zip(chunks, steps, own, found, strict=True):
            split = rendered.split([len(part) for part in parts])
            for step, (index, part) in enumerate(zip(indices, split, strict=True), start=chunk):
                if step >= first_step:
                    yield index.to(self.device), part

    def _own(self, batch: Tensor) -> Tensor:
        """This process's part of a batch; groups of ghost batch norm stay whole."""
        return batch[self.processes.share(len(batch), self.settings.pretrain.bn_group or 1)]

    def _is_whole(self, index: Tensor) -> bool:
        """Whether these are as many instances as a batch has; the last of an epoch may be fewer."""
        return len(index) == self.batch

    def _step(self, index: Tensor, batch: Tensor, lr: float) -> Tensor:
        """One step; sums of loss and positive similarity over its anchors, float64.

        Args:
            index: B int64, all the batch's instances.
            batch: Views of this process's part of them.
            lr: Learning rate.
        """
        self._set_precision()
        mixed = self.settings.pretrain.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            anchors = (self._of_whole_batch if self._is_whole(index) else self.encoder)(batch)
        own = self._own(index)
        # Without a part there is no loss, but still sums of others to take part in.
        loss = self.loss(anchors, self.bank.entries, own) if len(own) > 0 else anchors.sum()
        loss = loss * (len(own) / len(index))
        gradients = torch.autograd.grad(loss, self.parameters)
        loss, embeddings = loss.detach(), anchors.detach()
        if self.processes.count > 1:
            loss, embeddings, gradients = self._total(loss, embeddings, gradients, len(index))
        self._descend(gradients, lr)
        similarity = (embeddings * self.bank.entries[index]).sum()
        self.bank.update(index, embeddings)
        return torch.stack([loss * len(index), similarity]).double()

    def _total(
        self, loss: Tensor, embeddings: Tensor, gradients: tuple[Tensor, ...], batch: int
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Loss, embeddings (B x d) and gradients of the whole batch from those of its parts."""
        whole = embeddings.new_zeros(batch, embeddings.shape[1])
        self._own(whole).copy_(embeddings)
        loss, whole, *summed = self.processes.total([loss, whole, *gradients])
        # In the parameters' own layout of memory, which the fused step takes for granted.
        aligned = [
            torch.empty_like(p).copy_(g) for p, g in zip(self.parameters, summed, strict=True)
        ]
        return loss, whole, tuple(aligned)

    @torch.no_grad()
    def _descend(self, gradients: tuple[Tensor, ...], lr: float) -> None:
        """A step of torch's SGD, by its function: its class imports two seconds of compiler."""
        sgd(
            self.parameters,
            list(gradients),
            self.momentum,
            fused=True,
            lr=lr,
            momentum=self.settings.pretrain.momentum,
            weight_decay=self.settings.pretrain.weight_decay,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )

    def progress(self) -> str:
        """One line: epoch, loss, throughput, time left."""
        last, epochs = self.position.history[-1], self.settings.pretrain.epochs
        left = (epochs - self.position.epoch) * last["seconds"]
        return (
            f"epoch {self.position.epoch}/{epochs}  loss {last['loss']:.4f}  "
            f"{last['images_per_second']:,.0f} images/s  {_duration(left)} left"
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on: tensors, and the position in the run.

        Raises:
            FloatingPointError: The run has diverged; there is nothing to go on from.
        """
        if self.position.step > 0:
            self.read_sums()
        tensors = {f"encoder.{name}": t for name, t in self.encoder.state_dict().items()}
        for (name, _), buffer in zip(self.encoder.named_parameters(), self.momentum, strict=True):
            if buffer is not None:
                tensors[f"momentum.{name}"] = buffer
        tensors["bank"] = self.bank.entries
        return tensors, vars(self.position)

    def restore(self, tensors: dict[str, Tensor], position: dict[str, Any]) -> None:
        """Become the run that ``state`` described."""
        encoder = {n.removeprefix("encoder."): t for n, t in tensors.items() if n[:8] == "encoder."}
        self.encoder.load_state_dict(encoder)
        for i, (name, parameter) in enumerate(self.encoder.named_parameters()):
            if (buffer := tensors.get(f"momentum.{name}")) is not None:
                self.momentum[i] = torch.empty_like(parameter).copy_(buffer)
        self.bank.entries.copy_(tensors["bank"])
        self.position = at = _Position(**position)
        self.sums.copy_(torch.tensor([at.loss, at.positive_similarity], dtype=torch.float64))
        self._recorded = None  # it holds the addresses of what was replaced

    def result(self, outcome: str) -> Pretrained:
        """What the run ends with; the encoder is put in eval mode."""
        return Pretrained(outcome, self.encoder.eval(), self.bank, self.position.history)


def _check_shares(settings: RunSettings, processes: Processes) -> None:
    """Refuse processes that would have nothing to do.

    Raises:
        StudyError: A whole batch has fewer anchors, or groups of ghost batch norm, than there are
            processes.
    """
    batch, group = settings.pretrain.batch_size, settings.pretrain.bn_group or 1
    parts = math.ceil(batch / group)
    if parts < processes.count:
        what = "anchors" if group == 1 else f"groups of {group} (pretrain.bn_group)"
        raise StudyError(
            f"--processes: {processes.count} cannot share batches of {batch}, which have {parts} "
            f"{what}; allowed is 1 to {parts}"
        )


def bank_seed(seed: int) -> int:
    """Seed of the bank's entries: a stream apart from that of the weights."""
    return int.from_bytes(hashlib.sha256(f"bank {seed}".encode()).digest()[:7], "big")


def make_loss(settings: RunSettings, bank_size: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The run's loss for a bank of this size.

    Raises:
        StudyError: K is more than the bank's negatives, a loss's module cannot be used, or
            ``TAUSWEEP_LOSS_KERNELS`` has a value that is not allowed.
    """
    kernel_choice.asked()
    loss = settings.loss
    negatives = loss.hard_set_size(bank_size)
    if loss.module is not None:
        return own_loss.make(loss, negatives)
    return losses.make(loss.name, loss.temperature, negatives, literal_topk=bool(loss.literal_topk))


def history_csv(history: list[dict[str, float]]) -> str:
    """The history as CSV; numbers in the shortest form that reads back exactly."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {
            **row,
            "epoch": int(row["epoch"]),
            "seconds": f"{row['seconds']:.3f}",
            "images_per_second": f"{row['images_per_second']:.1f}",
        }
        for row in history
    )
    return text.getvalue()


def read_history(path: Path) -> list[dict[str, float]]:
    """Read a ``history.csv``."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
