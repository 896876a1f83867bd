"""The loss of a run: one of the paper's, another shipped loss, or a user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from tausweep.losses import family, own_loss, related, trial
from tausweep.losses.batch import Batch
from tausweep.losses.known_gradient import with_gradients
from tausweep.losses.own_loss import alone, inputs_of
from tausweep.losses.streaming import full_precision
from tausweep.study import LOSSES, RunSettings, StudyError

Bounds = Mapping[str, tuple[float | None, float | None]]


@dataclass(frozen=True)
class RunLoss:
    """A loss in the form that training needs.

    Attributes:
        call: Maps a batch to the mean loss over its anchors.
        module: The module with parameters and state; none for a plain function.
        clamp: Bounds of the module's parameters by name.
        recordable: Whether a step with it can be recorded as a graph. Then nothing in it waits for
            the host or needs a value from the host that changes from step to step.
        place: Where an own loss is defined, for error messages.
    """

    call: Callable[[Batch], Tensor]
    module: nn.Module | None = None
    clamp: Bounds = field(default_factory=dict)
    recordable: bool = True
    place: str = ""

    def __call__(self, batch: Batch) -> Tensor:
        """The loss of a batch: a scalar, with gradients to its embeddings and to the module."""
        return self.call(batch)


def make(settings: RunSettings, size: int) -> RunLoss:
    """The loss of a run.

    Args:
        settings: The run's settings.
        size: N, training images.

    Raises:
        StudyError: K is more than there are negatives, a queue does not fit, or a module cannot be
            used.
    """
    loss = settings.loss
    loss.check_source(size, settings.pretrain.batch_size)
    if loss.module is not None:
        trial.refuse(settings, size)
        dim, negatives = settings.encoder.dim, loss.hard_set_size(size)
        own = own_loss.make(loss, negatives, size, dim, settings.seed)
        return RunLoss(own, own.module, _clamp(settings, own), False, own.place)
    if loss.shipped in LOSSES and loss.source == "bank":
        negatives = loss.hard_set_size(size)
        paper = family.make(loss.shipped, loss.temperature, negatives, bool(loss.literal_topk))
        return RunLoss(lambda batch: paper(batch.anchors, batch.bank, batch.index))
    module = related.make(loss, size)
    return RunLoss(
        lambda batch: at_full_precision(module, batch),
        module,
        getattr(module, "clamp", {}),
        not getattr(module, "follows_training", False),
    )


def at_full_precision(module: nn.Module, batch: Batch) -> Tensor:
    """Loss of a batch; similarities and gradients are float32, whatever the trunk's precision."""
    parameters = [*module.parameters()]
    with torch.enable_grad(), full_precision(batch.anchors.device):
        given = alone(batch)
        value = module(given)
        gradients = torch.autograd.grad(value, [*inputs_of(given), *parameters])
    return with_gradients(value.detach(), [*inputs_of(batch), *parameters], gradients)


def _clamp(settings: RunSettings, own: own_loss.OwnLoss) -> Bounds:
    """Bounds of an own loss's parameters: the module's attribute ``clamp``, or the study's.

    Raises:
        StudyError: They name a parameter that it does not have.
    """
    loss = settings.loss
    found: Bounds = loss.clamp or getattr(own.made, "clamp", None) or {}
    known = [name for name, _ in own.module.named_parameters()] if own.module else []
    for name in found:
        if name not in known:
            there = ", ".join(known) or "none"
            raise StudyError(
                f"{own.place}: clamp names {name}, which is no parameter of it; it has {there}"
            )
    if loss.lr is not None and not known:
        raise StudyError(f"{own.place}: losses.{loss.name}.lr is set, but it has no parameters")
    return found
