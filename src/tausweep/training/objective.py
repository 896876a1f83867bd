"""What a run minimises: its loss, and what the loss needs beside encoder and bank.

A loss may need a second view, a momentum encoder and its queue, labels, or parameters of its own.
Each exists only if the loss needs it. The paper's losses need none of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.sgd import sgd

from tausweep.losses import run_loss
from tausweep.losses.batch import Batch
from tausweep.machine.peers import Processes
from tausweep.model.encoder import Encoder
from tausweep.model.key_queue import KeyQueue
from tausweep.model.momentum_encoder import MomentumEncoder
from tausweep.study import RunSettings, StudyError
from tausweep.training.position import HISTORY, Position


class Embed(Protocol):
    """Embeds views at the run's precision, by the trained encoder or by another one."""

    def __call__(self, views: Tensor, encoder: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Embed B x 3 x S x S views: B x d, with gradient unless the encoder has none."""


class Objective:
    """The loss of a run, its state, and the batches that it sees.

    Args:
        settings: The run's settings.
        labels: N labels of the training images; the loss sees them only if it is supervised.
        encoder: The encoder that is trained.
        steps: Steps of an epoch.
        device: Where to train.
        processes: The processes that share the run.

    Attributes:
        loss: Maps a batch to a scalar.
        views: Views of each instance that a step takes.
        parameters: The loss's own parameters, which are trained with the encoder.

    Raises:
        StudyError: The loss cannot be made, or processes cannot share it.
    """

    def __init__(
        self,
        settings: RunSettings,
        labels: NDArray[np.int64],
        encoder: Encoder,
        steps: int,
        device: torch.device,
        processes: Processes,
    ) -> None:
        wanted, count = settings.loss, len(labels)
        self.settings, self.views = settings, wanted.view_count
        self.loss = run_loss.make(settings, count)
        self._steps = steps * settings.pretrain.epochs
        self._module = self.loss.module.to(device).train() if self.loss.module else None
        self._check_shared(processes)
        if wanted.sees_labels and (labels < 0).any():
            raise StudyError(
                f"losses.{wanted.name}: it is supervised, and needs a label of every training image"
            )
        self._labels = torch.from_numpy(labels.copy()).to(device) if wanted.sees_labels else None
        self._queue: KeyQueue | None = None
        self._momentum_encoder: MomentumEncoder | None = None
        if wanted.queue is not None and wanted.key_momentum is not None:
            seed = seed_of("queue", settings.seed)
            self._queue = KeyQueue(wanted.queue, settings.encoder.dim, seed, device)
            group = settings.pretrain.bn_group
            self._momentum_encoder = MomentumEncoder(encoder, wanted.key_momentum, group)
        named = dict(self._module.named_parameters()) if self._module else {}
        self.parameters: list[Tensor] = [*named.values()]
        self._names = [*named]
        self._momentum: list[Tensor | None] = [None] * len(self.parameters)
        self._clamp()
        self.reported()  # before anything is trained, refuses values that cannot be a column

    def _check_shared(self, processes: Processes) -> None:
        state = self._module is not None and self._module.state_dict()
        alone = self.views > 1 or state or self.settings.loss.sees_labels
        if processes.count > 1 and alone:
            raise StudyError(
                f"--processes: {processes.count} is not allowed with the loss "
                f"{self.settings.loss.name}, whose batch is not the sum of its parts; allowed is 1"
            )

    def embeddings(
        self, views: Tensor, encoder: Encoder, embed: Embed
    ) -> tuple[Tensor, Tensor | None]:
        """Anchors (B x d), and keys (B x d) if the loss sees a second view.

        Args:
            views: B x 3 x S x S, or 2 B with all second views after the first views.
            encoder: The encoder that is trained.
            embed: Gives its embeddings.
        """
        if self.views == 1:
            return embed(views), None
        if self._momentum_encoder is None:
            # Both views pass together, so batch norm sees them as one batch (SimCLR).
            anchors, keys = embed(views).chunk(2)
            return anchors, keys
        first, second = views.chunk(2)
        self._momentum_encoder.follow(encoder)
        return embed(first), embed(second, self._momentum_encoder.keys)

    def batch(
        self, anchors: Tensor, keys: Tensor | None, bank: Tensor, index: Tensor, at: Position
    ) -> Batch:
        """The input of the loss in a step."""
        return Batch(
            anchors,
            bank,
            index,
            keys,
            self._queue.entries if self._queue else None,
            self._labels[index] if self._labels is not None else None,
            at.epoch,
            at.steps,
            at.steps / self._steps,
            self.settings.loss.source,
        )

    def descend(self, gradients: Sequence[Tensor], lr: float) -> None:
        """An SGD step for the loss's own parameters, without weight decay and within their bounds.

        Args:
            gradients: Gradients with respect to each of ``parameters``.
            lr: The encoder's learning rate; a learning rate of the loss's own falls with it.
        """
        if not self.parameters:
            return
        pretrain, own = self.settings.pretrain, self.settings.loss.lr
        with torch.no_grad():
            sgd(
                self.parameters,
                list(gradients),
                self._momentum,
                fused=True,
                lr=lr if own is None else own * lr / pretrain.lr,
                momentum=pretrain.momentum,
                weight_decay=0.0,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
        self._clamp()

    @torch.no_grad()
    def _clamp(self) -> None:
        named = zip(self._names, self.parameters, strict=True)
        for name, parameter in named:
            if (bounds := self.loss.clamp.get(name)) is not None:
                parameter.clamp_(*bounds)

    def end_step(self, keys: Tensor | None) -> None:
        """Put the step's keys into the queue, after the loss has used the earlier ones."""
        if self._queue is not None and keys is not None:
            self._queue.add(keys)

    def reported(self) -> dict[str, Tensor]:
        """Columns of the history about the loss: scalars on the device.

        They come from its ``history()``, or are the means of its parameters.

        Raises:
            StudyError: A name is already a column of every history, or a value is not a scalar
                tensor.
        """
        module = self._module
        if module is None:
            return {}
        own: Callable[[], Mapping[str, Tensor]] | None = getattr(module, "history", None)
        if own is None:
            return {f"loss.{n}": p.detach().mean() for n, p in module.named_parameters()}
        found = {name: value.detach() for name, value in own().items()}
        for name, value in found.items():
            if name in HISTORY or value.dim() > 0:
                what = f"a tensor of shape {tuple(value.shape)}" if value.dim() else "taken"
                raise StudyError(
                    f"{self.loss.place}: its history() gives {name}, which is {what}; allowed are "
                    f"scalars under other names than {', '.join(HISTORY)}"
                )
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Tensors by name that hold the whole state."""
        found: dict[str, Tensor] = {}
        if self._module is not None:
            found |= {f"loss.{name}": t for name, t in self._module.state_dict().items()}
            for name, buffer in zip(self._names, self._momentum, strict=True):
                if buffer is not None:
                    found[f"loss_momentum.{name}"] = buffer
        if self._momentum_encoder is not None:
            state = self._momentum_encoder.encoder.state_dict()
            found |= {f"key_encoder.{name}": t for name, t in state.items()}
        if self._queue is not None:
            found |= {"queue": self._queue.entries, "queue_at": self._queue.at}
        return found

    def may_be_infinite(self, name: str) -> bool:
        """Whether a tensor of ``tensors`` is a buffer of the loss, which may start at infinity."""
        return name.startswith("loss.") and name.removeprefix("loss.") not in self._names

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state from ``tensors``."""
        if self._module is not None:
            self._module.load_state_dict(_below("loss.", tensors))
            kept = _below("loss_momentum.", tensors)
            for i, (name, parameter) in enumerate(zip(self._names, self.parameters, strict=True)):
                if (buffer := kept.get(name)) is not None:
                    self._momentum[i] = torch.empty_like(parameter).copy_(buffer)
        if self._momentum_encoder is not None:
            self._momentum_encoder.encoder.load_state_dict(_below("key_encoder.", tensors))
        if self._queue is not None:
            self._queue.entries.copy_(tensors["queue"])
            self._queue.at.copy_(tensors["queue_at"])


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def seed_of(what: str, seed: int) -> int:
    """Seed of a random stream that is separate from that of the weights."""
    return int.from_bytes(hashlib.sha256(f"{what} {seed}".encode()).digest()[:7], "big")
