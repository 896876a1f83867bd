"""A run of pretraining: its state, and the step that advances it.

The protocol is that of docs/protocol.md. In each step, one view per image is contrasted with the
bank and SGD takes a step. Then the bank is updated with that step's embeddings. A loss that needs
more, such as a second view, gets it from its ``Objective``. All randomness is a function of (seed,
epoch, instance), so the position (epoch, step) and the tensors are the whole state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim.sgd import sgd

from tausweep.data.prepared import Prepared
from tausweep.machine import kernel_choice
from tausweep.machine.batch_sharing import BatchSharing
from tausweep.machine.peers import ALONE, Processes
from tausweep.machine.repeatable import set_repeatable
from tausweep.model.bank import MemoryBank
from tausweep.model.encoder import Encoder, set_tf32
from tausweep.study import RunSettings
from tausweep.training.batches import EpochBatches
from tausweep.training.checkpoints import Message, tensors_digest
from tausweep.training.objective import Objective, seed_of
from tausweep.training.position import Position
from tausweep.training.recorded_step import RecordedStep
from tausweep.views.batches import pixels, resident

Keep = Callable[[int, Encoder, MemoryBank], None]
"""Receives the number of an epoch (from 1), and encoder and bank after it; changes neither."""


@dataclass
class Pretrained:
    """The result of a run of pretraining.

    Attributes:
        outcome: ``complete``, or ``diverged`` when the loss was not finite.
        encoder: Trunk and head, on the run's device, in eval mode.
        bank: Its memory bank.
        history: One row per epoch, keyed by ``HISTORY``.
    """

    outcome: str
    encoder: Encoder
    bank: MemoryBank
    history: list[dict[str, float]]


class Trainer:
    """The state of a run, and the steps that advance it.

    On a GPU it works on the stream that is current when it is made and in every call. The host
    waits for it once per epoch: a step is one graph over fixed tensors, and an epoch's order and
    views are drawn during the previous epoch and copied to the GPU at once.

    Args:
        settings: The run's resolved settings.
        data: Prepared data; only the training images are used, and their labels if the loss is
            supervised.
        device: Where to train.
        processes: The processes that share the run.
        graphs: Whether whole batches go through fixed tensors and a recorded step. By default they
            do on a GPU, if no other process shares the run and its loss can be recorded. A user's
            own loss cannot, because it may wait for the host. The numbers are the same.
        compiled: Whether torch.compile fuses the encoder's operations for whole batches. The
            numbers differ in their last bits.

    Attributes:
        encoder: Trunk and head, in train mode.
        bank: N x d, one entry per training image.
        objective: The loss, and what it needs beside encoder and bank; none for a baseline.
        batches: Index and views of every step.
        position: The position of the run.
        count: N, the number of training images.
        batch: B, the images of a whole batch.
        steps: Steps per epoch.

    Raises:
        StudyError: K is larger than the bank, a batch cannot be normalised, or it has no part for
            every process.
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
        chosen, size = settings.pretrain, settings.dataset.image_size
        self.settings, self.device, self.processes = settings, device, processes
        self.count, self.batch = len(data.train_images), chosen.batch_size
        self.steps = math.ceil(self.count / self.batch)
        self.sharing = BatchSharing(processes, chosen.bn_group or 1)
        settings.check_batches(self.count)
        self.sharing.check(self.batch)
        if chosen.epochs > 0:
            kernel_choice.asked()

        images = resident(data.train_images, device)
        split = pixels(images, size, data.mean, data.std, device)
        self.batches = EpochBatches(split, settings, self.sharing, device)
        encoder = Encoder(settings.encoder, settings.seed, chosen.bn_group, processes)
        self.encoder = encoder.to(device).to(memory_format=torch.channels_last).train()
        self.objective: Objective | None = None
        if chosen.epochs > 0:
            self.objective = Objective(
                settings, data.train_labels, self.encoder, self.steps, device, processes
            )
        entries = bank_seed(settings.seed)
        dim = settings.encoder.dim
        self.bank = MemoryBank(self.count, dim, chosen.bank_momentum, entries, device)
        self.parameters: list[Tensor] = list(self.encoder.parameters())
        self.momentum: list[Tensor | None] = [None] * len(self.parameters)
        # Sums of loss and positive similarity over the epoch's anchors so far.
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)
        self.position = Position()

        set_repeatable()
        self._set_precision()
        # On a GPU a step's numbers are only read when an epoch ends or a checkpoint is due.
        self.waiting_costs = device.type != "cpu"
        recordable = self.objective is not None and self.objective.loss.recordable
        if graphs is None:
            graphs = device.type == "cuda" and processes.count == 1 and recordable
        self.graphs, self.compiled = graphs, compiled
        # Compiled only for the shape of whole batches, not again for the partial one.
        self._of_whole_batch = torch.compile(self.encoder) if compiled else self.encoder
        self._recorded: RecordedStep | None = None
        if graphs:
            views = settings.loss.view_count
            self._recorded = RecordedStep(self._add_step, self.batch, size, device, views)

    def step(self, index: Tensor, views: Tensor, lr: float) -> Tensor:
        """One step of the paper: embed, contrast with the bank, descend, update the bank.

        Args:
            index: B int64, all instances of the batch; they are rows of the bank.
            views: b x 3 x S x S, one view of each instance in this process's part; b is B for a
                single process. With two views per instance 2 B, all second views after the first
                views.
            lr: Learning rate.

        Returns:
            Sums of loss and positive similarity over the batch's anchors, 2 float64.
        """
        objective = self.objective
        assert objective is not None
        anchors, keys = objective.embeddings(
            views, self.encoder, partial(self._embed, len(index))
        )  # b x d, rows of length 1

        def loss_of(anchors: Tensor, bank: Tensor, part: Tensor) -> Tensor:
            return objective.loss(objective.batch(anchors, keys, bank, part, self.position))

        loss = self.sharing.loss(loss_of, anchors, self.bank.entries, index)  # scalar
        trained = [*self.parameters, *objective.parameters]
        gradients: Sequence[Tensor] = torch.autograd.grad(loss, trained)
        loss, anchors, gradients = self.sharing.total(
            loss, anchors, gradients, trained, len(index)
        )  # over the whole batch; anchors are B x d now
        self._descend(gradients[: len(self.parameters)], lr)
        objective.descend(gradients[len(self.parameters) :], lr)
        positives = self.bank.entries[index]  # B x d, as the loss saw them
        if self.settings.loss.source != "bank" and keys is not None:
            positives = keys.detach()
        similarity = (anchors * positives).sum()
        self.bank.update(index, anchors)  # B of the N rows
        objective.end_step(keys)
        return torch.stack([loss * len(index), similarity]).double()

    def _embed(
        self, batch: int, views: Tensor, encoder: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Embeddings (b x d) of views (b x 3 x S x S), at the run's precision.

        Args:
            batch: B, instances of the whole batch.
            views: Views of this process's part.
            encoder: An encoder other than the trained one.
        """
        self._set_precision()
        mixed = self.settings.pretrain.precision == "bf16"
        encoder = encoder or (self._of_whole_batch if batch == self.batch else self.encoder)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            embeddings: Tensor = encoder(views)
        return embeddings

    def _set_precision(self) -> None:
        """Allow or forbid TF32, as the run's precision says.

        It is a setting of the process, where another run may have changed it. A recorded step keeps
        the setting with which it was recorded.
        """
        set_tf32(self.settings.pretrain.precision == "tf32")

    @torch.no_grad()
    def _descend(self, gradients: Sequence[Tensor], lr: float) -> None:
        """A step of torch's SGD as a function, because importing its class takes two seconds."""
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

    @property
    def done(self) -> bool:
        """Whether all epochs are done."""
        return self.position.epoch >= self.settings.pretrain.epochs

    def steps_left(self, say: Message, keep: Keep | None = None) -> Iterator[None]:
        """Train to the end; yields after each step, after an epoch's last once it is reported.

        Args:
            say: Receives a progress line per epoch.
            keep: Called after every epoch.

        Raises:
            FloatingPointError: The run has diverged.
        """
        if self.settings.pretrain.epochs == 0:
            self.take_statistics()
        while not self.done:
            yield from self.epoch()
            say(self.position.progress(self.settings.pretrain.epochs))
            if keep:
                keep(self.position.epoch, self.encoder, self.bank)
            yield
        self.check_finite()

    def epoch(self) -> Iterator[None]:
        """Take the current epoch's remaining steps; yields after each but the last."""
        at = self.position
        lr = self.settings.pretrain.lr_at(at.epoch)
        began = time.perf_counter()
        for index, views in self.batches.of_epoch(at.epoch, at.step):
            if self._recorded and len(index) == self.batch:
                self._recorded(index, views, lr)
            else:
                self._add_step(index, views, lr)
            at.step += 1
            if not self.waiting_costs or at.step == self.steps:
                self.read_sums()
            at.steps += 1
            now = time.perf_counter()
            at.seconds, began = at.seconds + now - began, now
            if at.step < self.steps:
                yield
                # The host runs ahead of a GPU, so the time between two steps is the GPU's. It
                # includes other runs of this process.
                if not self.waiting_costs:
                    began = time.perf_counter()
        at.end_epoch(lr, self.count, self._said())
        self.sums.zero_()

    def _said(self) -> dict[str, float]:
        """The columns that the loss reports, copied to the host at once."""
        said = self.objective.reported() if self.objective else {}
        if not said:
            return {}
        values = torch.stack([value.double() for value in said.values()]).tolist()
        return dict(zip(said, values, strict=True))

    def _add_step(self, index: Tensor, views: Tensor, lr: float) -> None:
        """Take a step and add its results to the epoch's sums."""
        self.sums.add_(self.step(index, views, lr))

    @torch.no_grad()
    def take_statistics(self) -> None:
        """Update batch norm's statistics with an epoch's views, without training anything.

        With the initial statistics, the features of an untrained encoder shrink with every layer,
        and a linear probe with a fixed lr would learn nothing. That baseline would be too easy to
        beat.
        """
        self._set_precision()
        if self.parameters:
            for _, views in self.batches.of_epoch(0):
                self.encoder(views)

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
        """Refuse to go on if the last step made the encoder or the bank infinite or NaN.

        Raises:
            FloatingPointError: A weight, statistic or bank entry is not finite.
        """
        for name, tensor in self.state()[0].items():
            kept = self.objective is not None and self.objective.may_be_infinite(name)
            if tensor.is_floating_point() and not kept and not torch.isfinite(tensor).all():
                raise FloatingPointError(f"{name} is not finite after the last step")

    def check_same(self) -> None:
        """Refuse to go on if weights, momentum or bank differ between processes.

        Running statistics of ghost batch norm are those of the batch's first group. The first
        process has this group; the others get the statistics from it.

        Raises:
            ProcessesError: They differ.
        """
        if self.processes.count == 1:
            return
        buffers = dict(self.encoder.named_buffers())
        for buffer in buffers.values():
            buffer.copy_(self.processes.rows(buffer.reshape(1, -1)[0])[0].view_as(buffer))
        self.processes.check_same("weights, momentum or bank", tensors_digest(self.state()[0]))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on: tensors, and the position in the run.

        Raises:
            FloatingPointError: The run has diverged, so there is no state to continue from.
        """
        if self.position.step > 0:
            self.read_sums()
        tensors = {f"encoder.{name}": t for name, t in self.encoder.state_dict().items()}
        for (name, _), buffer in zip(self.encoder.named_parameters(), self.momentum, strict=True):
            if buffer is not None:
                tensors[f"momentum.{name}"] = buffer
        tensors["bank"] = self.bank.entries
        if self.objective is not None:
            tensors |= self.objective.tensors()
        return tensors, vars(self.position)

    def restore(self, tensors: dict[str, Tensor], position: dict[str, Any]) -> None:
        """Restore the run from ``state``."""
        encoder = {n.removeprefix("encoder."): t for n, t in tensors.items() if n[:8] == "encoder."}
        self.encoder.load_state_dict(encoder)
        for i, (name, parameter) in enumerate(self.encoder.named_parameters()):
            if (buffer := tensors.get(f"momentum.{name}")) is not None:
                self.momentum[i] = torch.empty_like(parameter).copy_(buffer)
        self.bank.entries.copy_(tensors["bank"])
        if self.objective is not None:
            self.objective.restore(tensors)
        self.position = at = Position(**position)
        self.sums.copy_(torch.tensor([at.loss, at.positive_similarity], dtype=torch.float64))
        if self._recorded:
            self._recorded.forget()

    def result(self, outcome: str) -> Pretrained:
        """The result of the run; the encoder is put into eval mode."""
        return Pretrained(outcome, self.encoder.eval(), self.bank, self.position.history)


def bank_seed(seed: int) -> int:
    """Seed of the bank's entries: a random stream that is separate from that of the weights."""
    return seed_of("bank", seed)
