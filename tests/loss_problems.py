"""Random problems for the losses, their values and gradients, and the reference's."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import Tensor

import reference
import tolerance
from examples import examples
from tausweep import losses
from tausweep.losses import selection

HYPOTHESIS = settings(
    max_examples=examples(20),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

TEMPERATURES = st.sampled_from([0.005, 0.01, 0.05, 0.07, 0.3, 1.0, 10.0])

SEEDS = st.integers(0, 10_000)


def settings_of(name: str, tau: float = 0.07, negatives: int = 5) -> dict[str, Any]:
    """The keyword arguments that ``make`` needs for this loss."""
    wanted: dict[str, Any] = {}
    if "contrastive" in name:
        wanted["temperature"] = tau
    if name.startswith("hard"):
        wanted["negatives"] = negatives
    return wanted


def problem(
    seed: int, batch: int = 7, size: int = 40, dim: int = 6, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    """Random unit anchors (with gradient) and bank, and distinct positives."""
    generator = torch.Generator().manual_seed(seed)
    bank = F.normalize(torch.randn(size, dim, generator=generator, dtype=torch.float64), dim=1)
    anchors = F.normalize(torch.randn(batch, dim, generator=generator, dtype=torch.float64), dim=1)
    index = torch.randperm(size, generator=generator)[:batch]
    return anchors.to(dtype).requires_grad_(), bank.to(dtype), index


def value_and_gradient(
    loss: losses.Loss, anchors: Tensor, bank: Tensor, index: Tensor
) -> tuple[Tensor, Tensor]:
    anchors = anchors.detach().clone().requires_grad_()
    value = loss(anchors, bank, index)
    value.backward()
    assert anchors.grad is not None
    return value.detach(), anchors.grad


def by_similarities(
    loss: losses.Loss, similarities: Tensor, index: Tensor
) -> tuple[Tensor, Tensor]:
    """The mean loss and the derivative of each anchor's loss by every similarity (B x N).

    With the unit vectors as bank, an anchor's coordinates are its similarities.
    """
    bank = torch.eye(similarities.shape[1], dtype=similarities.dtype)
    value, gradient = value_and_gradient(loss, similarities, bank, index)
    return value, gradient * len(similarities)


def random_similarities(seed: int, batch: int = 5, size: int = 30) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    s = torch.rand(batch, size, generator=generator, dtype=torch.float64) * 2 - 1
    return s, torch.randint(size, (batch,), generator=generator)


def select_by(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Select the hard set as on a CPU ("partition") or as on an accelerator ("topk")."""
    monkeypatch.setattr(selection, "interval", getattr(selection, f"interval_by_{path}"))


def check_reference(
    value: Tensor,
    gradient: Tensor,
    name: str,
    anchors: Tensor,
    bank: Tensor,
    index: Tensor,
    literal_topk: bool = False,
    **chosen: Any,
) -> None:
    """Loss and gradient are the reference's, as far as their precision and its float64 go."""
    chosen["literal_topk"] = literal_topk
    expected = reference.loss_and_gradient(name, anchors.detach(), bank, index, **chosen)
    ours = tolerance.loss(name, anchors, bank, index, **chosen)
    its = tolerance.loss(name, anchors, bank, index, dtype=torch.float64, **chosen)
    tolerance.check(value, expected[0], ours.value + its.value, "the loss is")
    tolerance.check(gradient, expected[1], ours.gradient + its.gradient, "the gradient is")
