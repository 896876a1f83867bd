"""Try a user's own loss on random embeddings before anything is trained with it.

A loss that cannot be trained is refused in one sentence. So is a loss that would train but give
other bytes after a resume, because it draws random numbers or keeps a schedule in a plain counter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType, MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tausweep.losses import own_loss
from tausweep.losses.batch import Batch
from tausweep.losses.own_loss import OwnLoss, inputs_of
from tausweep.study import RunSettings, StudyError

ANCHORS = 8
STEPS = 4
CLASSES = 3
FEW = 64
"""Training images of a try, if their number is not known yet."""
LR = 0.01
"""Learning rate of the try's steps, so that parameters move."""

Seen = tuple[Tensor, ...]
"""Result of a step: value, and gradients with respect to embeddings and parameters."""


def refuse(settings: RunSettings, size: int | None) -> None:
    """Refuse an own loss that cannot be trained, or that a resumed run would change.

    Args:
        settings: Settings of a run whose loss has a ``module``.
        size: N, the number of training images; none if it is not known yet.

    Raises:
        StudyError: One sentence that names the file, the line and what is wrong.
    """
    loss = settings.loss
    count = size or max(FEW, (loss.negatives or 0) + 2, loss.queue or 0)
    batches = _batches(settings, count)

    def made() -> OwnLoss:
        return own_loss.make(
            loss, loss.hard_set_size(count), count, settings.encoder.dim, settings.seed
        )

    whole, again, stopped = made(), made(), made()
    first = [_step(whole, batch) for batch in batches[: STEPS // 2]]
    before = _numbers(whole.made)
    rest = [_step(whole, batch) for batch in batches[STEPS // 2 :]]
    after = _numbers(whole.made)
    if not _same([*first, *rest], [_step(again, batch) for batch in batches]):
        raise StudyError(
            f"{whole.place}: made twice, it gave two values for the same batches; a loss draws no "
            "random numbers, for a run that is resumed would draw others"
        )
    if (counted := _counted(before, after)) is not None:
        raise StudyError(
            f"{whole.place}: it counts: {counted}, which a run that is resumed would begin anew; "
            f"{INSTEAD}"
        )
    for batch in batches[: STEPS // 2]:
        _step(stopped, batch)
    resumed = _restarted(stopped, made())
    if not _same(rest, [_step(resumed, batch) for batch in batches[STEPS // 2 :]]):
        raise StudyError(
            f"{whole.place}: after a resume it gave another value; it keeps something that is "
            f"neither a parameter nor a buffer; {INSTEAD}"
        )


INSTEAD = (
    "batch.epoch, batch.step and batch.progress tell where the training is, and a buffer of an "
    "nn.Module (register_buffer) is kept in checkpoints"
)


def _batches(settings: RunSettings, count: int) -> list[Batch]:
    """Batches of random unit vectors, spread over the training."""
    loss, dim, epochs = settings.loss, settings.encoder.dim, settings.pretrain.epochs
    draws = torch.Generator().manual_seed(0)

    def unit(rows: int) -> Tensor:
        return F.normalize(torch.randn(rows, dim, generator=draws), dim=1)

    bank = unit(count)
    found = []
    for step in range(STEPS):
        rows = min(ANCHORS, count)
        two, queued = loss.view_count == 2, loss.source == "queue"
        epoch = step * epochs // STEPS
        found.append(
            Batch(
                anchors=unit(rows).requires_grad_(),
                bank=bank,
                index=torch.randperm(count, generator=draws)[:rows],
                keys=unit(rows).requires_grad_(not queued) if two else None,
                queue=unit(loss.queue) if queued and loss.queue else None,
                labels=torch.arange(rows) % CLASSES if loss.sees_labels else None,
                epoch=epoch,
                step=epoch * max(1, count // settings.pretrain.batch_size),
                progress=step / STEPS,
                negatives_from=loss.source,
            )
        )
    return found


def _step(loss: OwnLoss, batch: Batch) -> Seen:
    """Value and gradients of a batch; the parameters take a step.

    Raises:
        StudyError: One of them is not finite.
    """
    parameters = [*loss.module.parameters()] if loss.module else []
    inputs = [*inputs_of(batch), *parameters]
    try:
        value = loss(batch)
    except FloatingPointError as error:
        raise StudyError(
            f"{loss.place}: on random embeddings it says that the run has diverged: {error}"
        ) from error
    gradients = torch.autograd.grad(value, inputs)
    for what, tensors in (("value", [value]), ("gradient", gradients)):
        if not all(torch.isfinite(tensor).all() for tensor in tensors):
            raise StudyError(f"{loss.place}: its {what} on random embeddings is not finite")
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients[len(inputs_of(batch)) :], strict=True):
            parameter.sub_(LR * gradient)
    return (value.detach(), *gradients)


def _restarted(stopped: OwnLoss, fresh: OwnLoss) -> OwnLoss:
    """A fresh loss with the state that a checkpoint would have of a stopped one."""
    if stopped.module is not None and fresh.module is not None:
        state = {name: tensor.clone() for name, tensor in stopped.module.state_dict().items()}
        fresh.module.load_state_dict(state)
    return fresh


def _same(one: Sequence[Seen], two: Sequence[Seen]) -> bool:
    pairs = zip(one, two, strict=True)
    return all(torch.equal(a, b) for steps in pairs for a, b in zip(*steps, strict=True))


Numbers = dict[str, Any]


def _numbers(made: Callable[..., Any]) -> Numbers:
    """The plain numbers that a loss may count with, by where they are stored."""
    return dict(_walk(made, "", set()))


def _counted(before: Numbers, after: Numbers) -> str | None:
    """The first number that has changed, in words."""
    changed = (name for name in before if before[name] != after.get(name, before[name]))
    name = next(changed, None)
    return None if name is None else f"{name} went from {before[name]} to {after[name]}"


def _walk(found: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if isinstance(found, int | float | str | None):
        if isinstance(found, int | float):
            yield name, found
        return
    if id(found) in seen:
        return
    seen.add(id(found))
    if type(found).__module__ == "itertools":
        yield name, repr(found)
    elif isinstance(found, list | tuple | deque):
        for place, value in enumerate(found):
            yield from _walk(value, f"{name}[{place}]", seen)
        yield f"the length of {name}", len(found)
    elif isinstance(found, dict):
        for key, value in found.items():
            yield from _walk(value, f"{name}[{key!r}]", seen)
    elif isinstance(found, MethodType):
        yield from _walk(found.__self__, name, seen)
    elif isinstance(found, FunctionType):
        yield from _of_function(found, seen)
    elif isinstance(found, nn.Module):
        plain = nn.Module().__dict__.keys()
        for inner, module in found.named_modules():
            seen.add(id(module))
            for key, value in vars(module).items():
                if key not in plain:
                    yield from _walk(value, f"{inner}.{key}".removeprefix("."), seen)
    elif type(found).__module__.startswith("tausweep_plugin_"):
        for key, value in getattr(found, "__dict__", {}).items():
            yield from _walk(value, f"{name}.{key}".removeprefix("."), seen)


def _of_function(function: FunctionType, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Variables that a function can change: those of its closure, and globals that it names."""
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            content = cell.cell_contents
        except ValueError:
            continue  # not set yet
        yield from _walk(content, name, seen)
    for name in code.co_names:
        if name in function.__globals__:
            yield from _walk(function.__globals__[name], name, seen)
