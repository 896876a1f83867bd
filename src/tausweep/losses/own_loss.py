"""A user's own loss: a Python file with ``make(temperature, negatives, **options)``.

Its value and its gradient are both taken here, so that an error of either is told as the file's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tausweep.study import LossSettings, StudyError, plugins

LossFunction = Callable[[Tensor, Tensor, Tensor], Tensor]

CONTRACT = "a loss returns a tensor of one number that depends on anchors, such as a mean over them"


def make(settings: LossSettings, negatives: int | None) -> LossFunction:
    """The loss of a user's file.

    Args:
        settings: The loss's, with a ``module``.
        negatives: Size K of the hard set; none for all negatives.

    Returns:
        As ``losses.make``: anchors (B x d), bank (N x d), index (B) to a scalar.

    Raises:
        StudyError: The file cannot be used, or ``make`` raised or returned no function; and when
            the loss is called, if it, or its gradient, raised, it returned something else than a
            scalar with a gradient, or it changed its arguments.
    """
    module, field = str(settings.module), f"losses.{settings.name}.module"
    maker = plugins.function(module, "make", field)
    made = maker(temperature=settings.temperature, negatives=negatives, **(settings.options or {}))
    if not callable(made):
        raise StudyError(
            f"{field}: make() of {module} returned a {type(made).__name__}; a function of anchors, "
            "bank and index is needed"
        )

    def value_and_gradient(anchors: Tensor, bank: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        given = {"anchors": anchors, "bank": bank, "index": index}
        versions = {name: tensor._version for name, tensor in given.items()}
        value = made(anchors, bank, index)
        if (wrong := _wrong(value, anchors.device)) is not None:
            raise StudyError(f"{at}: it returned {wrong}; {CONTRACT}")
        (gradient,) = torch.autograd.grad(value, anchors, allow_unused=True)
        if gradient is None:
            raise StudyError(
                f"{at}: it returned a tensor that does not depend on anchors; {CONTRACT}"
            )
        for name, tensor in given.items():
            if tensor._version != versions[name]:
                raise StudyError(f"{at}: it changed {name} in place; it should work on a copy")
        return value.detach(), gradient

    at = f"{field}: {plugins.place(made, module)}"
    guarded = plugins.guarded(value_and_gradient, module, field, defined=made, diverges=True)

    def loss(anchors: Tensor, bank: Tensor, index: Tensor) -> Tensor:
        value, gradient = guarded(anchors.detach().requires_grad_(), bank, index)
        found: Tensor = _Given.apply(anchors, value, gradient)
        return found

    return loss


def _wrong(value: Any, device: torch.device) -> str | None:
    """What a loss returned, in words, if that is no scalar with a gradient."""
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


class _Given(torch.autograd.Function):
    """A number with a gradient that is known already."""

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0], None, None
