"""A user's own loss: a Python file with ``make(temperature, negatives, **options)``.

Its value and all its gradients are computed here, so that any error is reported with the file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from tausweep.losses.batch import Batch
from tausweep.losses.known_gradient import with_gradients
from tausweep.study import LossSettings, StudyError, plugins

CONTRACT = "a loss returns a tensor of one number that depends on anchors, such as a mean over them"


@dataclass(frozen=True)
class OwnLoss:
    """The loss of a user's file.

    Attributes:
        made: What ``make`` returned.
        call: Maps a batch to its loss, with gradients to anchors, keys and the module's parameters.
        place: The study's field, the file and the line where the loss is defined.
    """

    made: Callable[..., Any]
    call: Callable[[Batch], Tensor]
    place: str

    def __call__(self, batch: Batch) -> Tensor:
        """The loss of a batch, a scalar.

        Raises:
            StudyError: The loss or its gradient raised, it did not return a scalar with a gradient,
                or it changed its arguments.
        """
        return self.call(batch)

    @property
    def module(self) -> nn.Module | None:
        """The loss if it is a module, else none."""
        return self.made if isinstance(self.made, nn.Module) else None


def make(
    settings: LossSettings,
    negatives: int | None,
    size: int | None = None,
    dim: int | None = None,
    seed: int = 0,
) -> OwnLoss:
    """The loss of a user's file.

    Args:
        settings: The loss's settings, with a ``module``.
        negatives: Size K of the hard set; none for all negatives.
        size: N, training images; passed on to a ``make`` that takes a ``size``.
        dim: d, the length of an embedding; passed on to a ``make`` that takes a ``dim``.
        seed: Seed for what ``make`` draws; the global generator is not changed.

    Raises:
        StudyError: The file cannot be used, or ``make`` raised or returned no loss.
    """
    path, field = str(settings.module), f"losses.{settings.name}.module"
    maker = plugins.function(path, "make", field)
    options = settings.options or {}
    known = {"size": size, "dim": dim}
    wanted = inspect.signature(maker).parameters
    given = {name: value for name, value in known.items() if name in wanted} | options
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = maker(temperature=settings.temperature, negatives=negatives, **given)
    if not callable(made):
        raise StudyError(
            f"{field}: make() of {path} returned a {type(made).__name__}; a function of a batch is "
            "needed, or one of anchors, bank and index"
        )
    at = f"{field}: {plugins.place(made, path)}"
    take = _form(made, settings, at)
    check_state(made, at)

    def value_and_gradients(batch: Batch) -> tuple[Tensor, list[Tensor]]:
        given = _tensors(batch)
        versions = {name: tensor._version for name, tensor in given.items()}
        value = take(batch)
        if (wrong := _wrong(value, batch.anchors.device)) is not None:
            raise StudyError(f"{at}: it returned {wrong}; {CONTRACT}")
        trained = dict(made.named_parameters()) if isinstance(made, nn.Module) else {}
        inputs = [*inputs_of(batch), *trained.values()]
        gradients = torch.autograd.grad(value, inputs, allow_unused=True)
        if gradients[0] is None:
            raise StudyError(
                f"{at}: it returned a tensor that does not depend on anchors; {CONTRACT}"
            )
        if (idle := _idle(trained, gradients)) is not None:
            raise StudyError(
                f"{at}: its parameter {idle} has no gradient, so it would never move; a loss "
                "depends on each of its parameters"
            )
        for name, tensor in given.items():
            if tensor._version != versions[name]:
                raise StudyError(f"{at}: it changed {name} in place; it should work on a copy")
        found = zip(inputs, gradients, strict=True)
        return value.detach(), [torch.zeros_like(i) if g is None else g for i, g in found]

    guarded = plugins.guarded(value_and_gradients, path, field, defined=made, diverges=True)

    def call(batch: Batch) -> Tensor:
        value, gradients = guarded(alone(batch))
        parameters = [*made.parameters()] if isinstance(made, nn.Module) else []
        return with_gradients(value, [*inputs_of(batch), *parameters], gradients)

    return OwnLoss(made, call, at)


def alone(batch: Batch) -> Batch:
    """The batch with embeddings that have a gradient, but not the encoder's graph behind them."""
    keys = batch.keys
    if keys is not None and keys.requires_grad:
        keys = keys.detach().requires_grad_()
    return replace(batch, anchors=batch.anchors.detach().requires_grad_(), keys=keys)


def inputs_of(batch: Batch) -> list[Tensor]:
    """The embeddings of a batch that have a gradient: anchors, and keys of the same encoder."""
    keys = [batch.keys] if batch.keys is not None and batch.keys.requires_grad else []
    return [batch.anchors, *keys]


def check_state(made: Callable[..., Any], at: str) -> None:
    """Refuse a module with state that a checkpoint cannot hold.

    Raises:
        StudyError: Its ``state_dict`` has something that is not a tensor.
    """
    if not isinstance(made, nn.Module):
        return
    for name, value in made.state_dict().items():
        if not isinstance(value, Tensor):
            raise StudyError(
                f"{at}: its state {name} is a {type(value).__name__}; a checkpoint holds tensors: "
                "parameters and buffers"
            )


def _form(made: Callable[..., Any], settings: LossSettings, at: str) -> Callable[[Batch], Any]:
    """The loss as a function of a batch, whichever of the two forms the user chose."""
    signature = inspect.signature(made.forward if isinstance(made, nn.Module) else made)
    first = next(iter(signature.parameters.values()), None)
    # `*arguments` takes any number of them: treat it as a loss of three arguments.
    several = first is not None and first.kind is inspect.Parameter.VAR_POSITIONAL
    if not several and _takes(signature, 1):
        return made
    if not _takes(signature, 3):
        raise StudyError(
            f"{at}: it takes {signature}; a loss takes a batch, or anchors, bank and index"
        )
    for option in ("views", "negatives_from", "supervised"):
        if getattr(settings, option) is not None:
            raise StudyError(
                f"{at}: it takes anchors, bank and index, and losses.{settings.name}.{option} is "
                "set; a loss of one argument, the batch, sees more"
            )
    return lambda batch: made(batch.anchors, batch.bank, batch.index)


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _tensors(batch: Batch) -> dict[str, Tensor]:
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _idle(trained: Mapping[str, Tensor], gradients: tuple[Tensor | None, ...]) -> str | None:
    """The first parameter without a gradient."""
    found = gradients[len(gradients) - len(trained) :]
    lacking = (name for name, g in zip(trained, found, strict=True) if g is None)
    return next(lacking, None)


def _wrong(value: Any, device: torch.device) -> str | None:
    """What a loss returned, in words, if that is not a scalar with a gradient."""
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    if value.dim() > 0:
        return f"a tensor of shape {tuple(value.shape)}"
    if not value.is_floating_point():
        return f"a tensor of {value.dtype}"
    if value.device != device:
        return f"a tensor on {value.device} for anchors on {device}"
    if not value.requires_grad:
        return "a tensor without a gradient"
    return None
