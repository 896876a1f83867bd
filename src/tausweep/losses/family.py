"""The paper's family of losses between anchors and a memory bank.

``make`` gives a loss by name; ``loss(anchors, bank, index)`` is the mean over the anchors. Per
anchor i, with ``s_ij = f(x_i) . v_j`` and every ``j != i`` a negative (docs/protocol.md):

- ``contrastive`` (Eq. 1): ``-log(e^{s_ii/tau} / (sum_{k != i} e^{s_ik/tau} + e^{s_ii/tau}))``
- ``simple`` (Eq. 3): ``-s_ii + lambda sum_{j != i} s_ij``, lambda = 1 / number of negatives
- ``hard_contrastive`` (Eq. 9), ``hard_simple`` (sec. 5.5): the same two over the K negatives of
  largest similarity, ties going to the lower index
- ``nearest_negative`` (Eq. 6): ``max(s_max - s_ii, 0)``

Anchors and bank are taken as they are: normalising belongs to the encoder and to the bank.

Each formula is a pure function that returns the B losses and, in one go, their B x d gradient with
respect to the anchors. A new loss is one such function and one line in ``_FORMULAS``.
"""

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeGuard, cast

import torch
from torch import Tensor

from tausweep.losses import selection, streaming
from tausweep.machine import kernel_choice

PerAnchor = tuple[Tensor, Tensor | None]
"""Losses (B) and their gradients with respect to the anchors (B x d; may be None if unasked)."""


@dataclass(frozen=True)
class Loss:
    """A loss by name; ``make`` says which settings each one takes.

    Attributes:
        name: one of ``NAMES``.
        temperature: tau > 0, or None where the loss has none.
        negatives: K, the number of hardest negatives, or None where all count.
        literal_topk: the first author's variant of the hard losses.

    Raises:
        ValueError: with the setting, its value and what is allowed.
    """

    name: str
    temperature: float | None = None
    negatives: int | None = None
    literal_topk: bool = False

    def __post_init__(self) -> None:
        if self.name not in _FORMULAS:
            raise ValueError(f"loss {self.name!r} is unknown; allowed are {', '.join(NAMES)}")
        formula = _FORMULAS[self.name]
        if formula.tempered:
            _check_temperature(self.temperature, f" of the loss {self.name}")
        elif self.temperature is not None:
            raise ValueError(
                f"temperature is {self.temperature!r}, but the loss {self.name} takes none"
            )
        if formula.hard:
            if not (_is_integer(self.negatives) and self.negatives >= 1):
                raise ValueError(
                    f"negatives of the loss {self.name} must be an integer >= 1, "
                    f"not {self.negatives!r}"
                )
        elif self.negatives is not None:
            raise ValueError(
                f"negatives is {self.negatives!r}, but the loss {self.name} takes all of them"
            )
        elif self.literal_topk:
            raise ValueError(f"literal_topk is for the hard losses only, not for {self.name}")

    def __call__(self, anchors: Tensor, bank: Tensor, index: Tensor) -> Tensor:
        """Mean loss over the anchors; the gradient goes to the anchors only.

        Everything is computed in float32, or in float64 if an input is float64, even under autocast
        and TF32. The bank is only read. Between forward and backward nothing but the
        B x d gradient is kept.

        Args:
            anchors: B x d floats, B >= 1; the embeddings f(x_i), L2-normalised by the encoder.
            bank: N x d floats, N >= 2; the entries v_j.
            index: B int64 in 0..N-1; the bank rows of the anchors' own instances.

        Returns:
            A scalar, float32 or float64.

        Raises:
            ValueError: on wrong shapes or types, on an index outside the bank (found here on a
                CPU; elsewhere by the device, or the loss is NaN, so that no step waits), or with
                more negatives asked for than the bank has.
        """
        _check_inputs(anchors, bank, index)
        if self.negatives is not None and self.negatives > bank.shape[0] - 1:
            raise ValueError(
                f"negatives of the loss {self.name} is {self.negatives}, but a bank of "
                f"{bank.shape[0]} has only {bank.shape[0] - 1}"
            )
        dtype = torch.promote_types(anchors.dtype, bank.dtype)
        wide = anchors.to(torch.promote_types(dtype, torch.float32))
        with_gradient = torch.is_grad_enabled() and anchors.requires_grad
        with torch.no_grad(), streaming.full_precision(anchors.device):
            losses, gradients = self._per_anchor(
                wide.detach(), bank.detach(), index.to(anchors.device), with_gradient
            )
            loss = losses.mean()
        if gradients is None or not with_gradient:
            return loss
        # The cast above is part of the graph: half-precision anchors get their gradient only
        # after it was scaled by the upstream one, so a loss scaler still saves small values.
        result: Tensor = streaming.AnchorGradient.apply(wide, loss, gradients / losses.shape[0])
        return result

    def _per_anchor(
        self, anchors: Tensor, bank: Tensor, index: Tensor, with_gradient: bool
    ) -> PerAnchor:
        """The losses and gradients, from the Triton kernels if ``kernel_choice`` takes them."""
        formula = _FORMULAS[self.name]
        if not ((formula.tempered or formula.hard) and kernel_choice.takes(anchors, bank)):
            return formula.per_anchor(self, anchors, bank, index, with_gradient)
        from tausweep.losses import bank_softmax  # imports a compiler for seconds, so not on a CPU

        return bank_softmax.per_anchor(
            anchors,
            bank,
            index,
            self.temperature,
            self.negatives,
            self.literal_topk,
            with_gradient,
        )


def make(
    name: str,
    temperature: float | None = None,
    negatives: int | None = None,
    literal_topk: bool = False,
) -> Loss:
    """A loss by its name in the records.

    Args:
        name: one of ``NAMES``.
        temperature: tau, finite and > 0; for the contrastive losses, and only for them.
        negatives: K >= 1; for the hard losses, and only for them. At most N - 1 when called.
        literal_topk: for the hard losses only. As in the first author's code, take the K + 1
            largest of **all** similarities, including the positive, and use only these for the
            denominator (``hard_contrastive``) or the mean (``hard_simple``). If the positive is not
            among them, the denominator lacks it and the loss may be negative. By default the
            denominator always has it, as in Eq. 9.

    Raises:
        ValueError: with the setting, its value and what is allowed.

    Examples:
        >>> import torch
        >>> from tausweep.losses import make
        >>> loss = make("contrastive", temperature=1.0)
        >>> bank = torch.eye(4)
        >>> round(float(loss(bank[:2], bank, torch.tensor([0, 1]))), 4)  # log(e + 3) - 1
        0.7437
    """
    return Loss(name, temperature, negatives, literal_topk)


def penalties(similarities: Tensor, index: Tensor | None, temperature: float) -> Tensor:
    """Relative penalties ``r_i(s_ij) = e^{s_ij/tau} / sum_{k != i} e^{s_ik/tau}`` (Eq. 5).

    Args:
        similarities: B x N floats.
        index: B int64, the columns of the positives; None where all columns are negatives.
        temperature: tau > 0.

    Returns:
        B x N, float32 or float64; rows sum to 1; exactly 0 at the positives.

    Raises:
        ValueError: if the temperature is not a finite number > 0.
    """
    _check_temperature(temperature)
    candidates = _candidates(similarities, index)
    candidates -= candidates.amax(1, keepdim=True)
    return torch.softmax(candidates.div_(temperature), 1)


def hard_set(similarities: Tensor, index: Tensor | None, negatives: int) -> Tensor:
    """The informative interval of Eq. 9: every anchor's K negatives of largest similarity.

    Measures use this mask. The losses choose the same set without a mask (``selection.interval``;
    on a GPU ``bank_softmax``).

    Args:
        similarities: B x N floats; compared as float32 (float64 if they are).
        index: B int64, the columns of the positives, never selected; None to select among all.
        negatives: K, at most the number of columns that may be selected.

    Returns:
        B x N bool with exactly K true in every row, the same on every device: of equal similarities
        at the threshold, those in the lowest columns are taken.

    Raises:
        ValueError: if K is not in that range.
    """
    available = similarities.shape[1] + (0 if index is None else -1)
    if not (_is_integer(negatives) and 1 <= negatives <= available):
        raise ValueError(f"negatives must be an integer in 1..{available}, not {negatives!r}")
    candidates = _candidates(similarities, index)
    # This also puts surplus ties at -inf.
    threshold, _ = selection.interval(candidates, negatives)
    return candidates >= threshold


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _check_temperature(value: object, whose: str = "") -> None:
    if not (_is_number(value) and 0 < value < math.inf):
        raise ValueError(f"temperature{whose} must be a finite number > 0, not {value!r}")


def _check_inputs(anchors: Tensor, bank: Tensor, index: Tensor) -> None:
    for name, tensor in (("anchors", anchors), ("bank", bank)):
        if tensor.ndim != 2 or not tensor.is_floating_point():
            raise ValueError(
                f"{name} must be a matrix of floats, not {tuple(tensor.shape)} {tensor.dtype}"
            )
    if anchors.shape[0] < 1 or bank.shape[0] < 2 or anchors.shape[1] != bank.shape[1]:
        raise ValueError(
            f"anchors {tuple(anchors.shape)} and bank {tuple(bank.shape)} must be B x d and N x d "
            f"with B >= 1 and N >= 2"
        )
    if index.shape != anchors.shape[:1] or index.dtype != torch.int64:
        raise ValueError(
            f"index must be {anchors.shape[0]} int64 bank rows, "
            f"not {tuple(index.shape)} {index.dtype}"
        )
    if index.device.type == "cpu" and not 0 <= index.min() <= index.max() < bank.shape[0]:
        raise ValueError(
            f"index must lie in 0..{bank.shape[0] - 1}, the rows of the bank, "
            f"not in {index.min()}..{index.max()}"
        )


def _candidates(similarities: Tensor, index: Tensor | None) -> Tensor:
    """A copy in float32 or float64 with the positives at -inf."""
    wide = similarities.detach().to(
        torch.promote_types(similarities.dtype, torch.float32), copy=True
    )
    return wide if index is None else wide.scatter_(1, index[:, None], -torch.inf)


def _contrastive(
    loss: Loss, anchors: Tensor, bank: Tensor, index: Tensor, with_gradient: bool
) -> PerAnchor:
    tau = cast(float, loss.temperature)
    positives = bank[index].to(anchors.dtype)
    maximum, total, mean = streaming.negatives_softmax(anchors, bank, index, tau, with_gradient)
    log_odds = (maximum - (anchors * positives).sum(1)) / tau + total.log()
    return _eq1(log_odds, mean, positives, tau)


def _eq1(log_odds: Tensor, mean: Tensor | None, positives: Tensor, tau: float) -> PerAnchor:
    """Eq. 1 from ``log_odds = log sum_{k != i} e^{(s_ik - s_ii)/tau}``; its gradient by Eq. 2, 5.

    ``mean`` is ``sum_{k != i} r_ik v_k``. The negatives are summed apart from the positive, so
    neither a small loss nor a small ``sum_{k != i} P_ik`` is a difference of larger numbers.
    """
    losses = torch.logaddexp(log_odds, torch.zeros_like(log_odds))
    if mean is None:
        return losses, None
    return losses, (torch.sigmoid(log_odds) / tau)[:, None] * (mean - positives)


def _simple(
    loss: Loss, anchors: Tensor, bank: Tensor, index: Tensor, with_gradient: bool
) -> PerAnchor:
    positives = bank[index].to(anchors.dtype)
    # Eq. 3 is linear in the bank, so the bank's sum stands for all N similarities.
    mean = (streaming.bank_sum(bank, anchors.dtype) - positives) / (bank.shape[0] - 1)
    gradients = mean - positives
    return (anchors * gradients).sum(1), gradients


def _nearest_negative(
    loss: Loss, anchors: Tensor, bank: Tensor, index: Tensor, with_gradient: bool
) -> PerAnchor:
    positives = bank[index].to(anchors.dtype)
    largest, row = streaming.nearest(anchors, bank, index)
    margin = largest - (anchors * positives).sum(1)
    violated = (margin > 0)[:, None]
    return margin.clamp(min=0), torch.where(violated, bank[row].to(anchors.dtype) - positives, 0)


def _hard_contrastive(
    loss: Loss, anchors: Tensor, bank: Tensor, index: Tensor, with_gradient: bool
) -> PerAnchor:
    tau = cast(float, loss.temperature)
    similarities, positive, smallest, largest = _hard_similarities(loss, anchors, bank, index)
    total, mean = streaming.interval_softmax(
        similarities, smallest, largest, tau, bank, with_gradient
    )
    log_odds = (largest.squeeze(1) - positive) / tau + total.log()
    positives = bank[index].to(anchors.dtype)
    if not loss.literal_topk:
        return _eq1(log_odds, mean, positives, tau)
    return log_odds, None if mean is None else (mean - positives) / tau


def _hard_simple(
    loss: Loss, anchors: Tensor, bank: Tensor, index: Tensor, with_gradient: bool
) -> PerAnchor:
    similarities, _, smallest, _ = _hard_similarities(loss, anchors, bank, index)
    mean = streaming.interval_mean(similarities, smallest, bank)
    gradients = mean - bank[index].to(anchors.dtype)
    return (anchors * gradients).sum(1), gradients


def _hard_similarities(
    loss: Loss, anchors: Tensor, bank: Tensor, index: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Similarities (B x N; excluded ones at -inf), s_ii (B), and the interval's bounds (B x 1)."""
    similarities = anchors @ bank.to(anchors.dtype).T
    positive = similarities.gather(1, index[:, None]).squeeze(1)
    count = cast(int, loss.negatives) + loss.literal_topk
    if not loss.literal_topk:
        similarities.scatter_(1, index[:, None], -torch.inf)
    return similarities, positive, *selection.interval(similarities, count)


class _Formula(NamedTuple):
    per_anchor: Callable[[Loss, Tensor, Tensor, Tensor, bool], PerAnchor]
    tempered: bool
    hard: bool


_FORMULAS = {
    "contrastive": _Formula(_contrastive, tempered=True, hard=False),
    "simple": _Formula(_simple, tempered=False, hard=False),
    "hard_contrastive": _Formula(_hard_contrastive, tempered=True, hard=True),
    "hard_simple": _Formula(_hard_simple, tempered=False, hard=True),
    "nearest_negative": _Formula(_nearest_negative, tempered=False, hard=False),
}
NAMES = tuple(_FORMULAS)
