"""The losses against their two bare matrix products, and against what one would write first.

Every cell is a loss with its gradient with respect to the anchors. The floor is what no exact
gradient of all similarities can do without: B x d by d x N, and B x N by N x d. It is shown into
buffers that are kept, and into fresh ones, which is what a training step without a workspace does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import measure
import torch
import torch.nn.functional as F
from measure import Cells, Row
from torch import Tensor

from tausweep import losses

BATCH, DIM, TEMPERATURE, NEGATIVES = 128, 128, 0.07, 4095
SMALL, LARGE = 50_000, 604_388
ROUNDS_SMALL, ROUNDS_LARGE = 40, 9
OURS = "loss and gradient"

LossOf = Callable[[Tensor, Tensor, Tensor], Tensor]
Problem = tuple[Tensor, Tensor, Tensor]


def problem(size: int, batch: int = BATCH, seed: int = 0) -> Problem:
    """Anchors (B x d) near their bank entries, the bank (N x d), and the index of the positives."""
    draw = torch.Generator().manual_seed(seed)
    bank = F.normalize(torch.randn(size, DIM, generator=draw), dim=1)
    index = torch.randint(size, (batch,), generator=draw)
    anchors = F.normalize(bank[index] + 0.1 * torch.randn(batch, DIM, generator=draw), dim=1)
    return anchors.requires_grad_(), bank, index


def ours(name: str, negatives: int = NEGATIVES) -> losses.Loss:
    """A loss of the package with the settings it takes."""
    return losses.make(
        name,
        TEMPERATURE if name.endswith("contrastive") else None,
        negatives if name.startswith("hard") else None,
    )


def plain_contrastive(anchors: Tensor, bank: Tensor, index: Tensor) -> Tensor:
    """Eq. 1 as what it is: a cross entropy of all similarities."""
    return F.cross_entropy(anchors @ bank.T / TEMPERATURE, index)


def plain_hard_contrastive(anchors: Tensor, bank: Tensor, index: Tensor) -> Tensor:
    """Eq. 9 by topk: a cross entropy of the positive and the K largest others."""
    similarities = anchors @ bank.T
    positive = similarities.gather(1, index[:, None])
    others = similarities.scatter(1, index[:, None], -torch.inf)
    chosen = others.topk(NEGATIVES, sorted=False).values
    logits = torch.cat([positive, chosen], 1) / TEMPERATURE
    return F.cross_entropy(logits, torch.zeros_like(index))


def with_gradient(loss_of: LossOf, where: Problem) -> tuple[Tensor, Tensor]:
    """Value and gradient with respect to the anchors (B x d)."""
    value = loss_of(*where)
    (gradient,) = torch.autograd.grad(value, where[0])
    return value.detach(), gradient


def products(where: Problem, reused: bool) -> Callable[[], object]:
    """The two bare products, into buffers that are kept or into fresh ones."""
    anchors, bank = where[0].detach(), where[1]
    if not reused:
        return lambda: (anchors @ bank.T) @ bank
    similarities = torch.empty(len(anchors), len(bank))
    gradient = torch.empty_like(anchors)

    def both() -> None:
        torch.mm(anchors, bank.T, out=similarities)
        torch.mm(similarities, bank, out=gradient)

    return both


def assert_same(first: LossOf, second: LossOf, where: Problem) -> None:
    """What is compared computes the same thing.

    Raises:
        AssertionError: With the first difference, where value or gradient differ by more than the
            rounding of float32.
    """
    found, expected = with_gradient(first, where), with_gradient(second, where)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=0)
    scale = float(expected[1].abs().max())
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-5 * scale)


def rows() -> Iterator[Row]:
    """Aims 4 and 5 in time."""
    yield from small_rows()
    yield from large_rows()


def small_rows() -> Iterator[Row]:
    """All losses at N = 50,000."""
    where = problem(SMALL)
    assert_same(ours("contrastive"), plain_contrastive, where)
    assert_same(ours("hard_contrastive"), plain_hard_contrastive, where)
    cells: Cells = {
        "two bare products, buffers kept": products(where, reused=True),
        "two bare products, fresh buffers": products(where, reused=False),
        "plain autograd: cross_entropy": partial(with_gradient, plain_contrastive, where),
        "plain autograd: topk": partial(with_gradient, plain_hard_contrastive, where),
        **{name: partial(with_gradient, ours(name), where) for name in losses.NAMES},
    }
    times = measure.interleave(cells, ROUNDS_SMALL, warmup=3)
    kept, fresh, plain, plain_topk = list(cells)[:4]
    for number, name, base, aim in (
        ("4", "contrastive", kept, "<= 1.25"),
        ("4", "contrastive", fresh, ""),
        ("4", "contrastive", plain, ""),
        ("5", "hard_contrastive", "contrastive", "<= 1.4"),
        ("5", "hard_contrastive", plain_topk, ""),
        ("5", "hard_contrastive", kept, ""),
        ("5", "simple", "contrastive", "<= 0.05"),
        ("5", "hard_simple", "contrastive", ""),
        ("5", "nearest_negative", "contrastive", ""),
    ):
        what = f"{OURS}, {name}" + (f", K = {NEGATIVES}" if name.startswith("hard") else "")
        yield Row(
            number, f"{what}, B = d = {BATCH}, N = {SMALL:,}", base, median(times[name]),
            median(times[base]), measure.ratio(times, name, base), aim,
        )  # fmt: skip


def large_rows() -> Iterator[Row]:
    """Contrastive with as many negatives as the paper's largest bank has."""
    where = problem(LARGE)
    loss = ours("contrastive")
    assert_same(loss, plain_contrastive, where)
    cells: Cells = {
        "two bare products, buffers kept": products(where, reused=True),
        "two bare products, fresh buffers": products(where, reused=False),
        "contrastive": partial(with_gradient, loss, where),
    }
    times = measure.interleave(cells, ROUNDS_LARGE)
    what = f"{OURS}, contrastive, B = d = {BATCH}, N = {LARGE:,}"
    for base in list(cells)[:2]:
        yield Row(
            "4", what, base, median(times["contrastive"]), median(times[base]),
            measure.ratio(times, "contrastive", base), "<= 1.0",
        )  # fmt: skip


FORMS: dict[str, LossOf] = {
    "ours": ours("contrastive"),
    "plain": plain_contrastive,
    "ours_hard": ours("hard_contrastive"),
    "plain_hard": plain_hard_contrastive,
}


def memory(form: str, size: int) -> None:
    """Print by how many MB one loss with its gradient raises the peak (in a process of its own)."""
    # What torch, its threads and its autograd need once is paid on a small bank.
    with_gradient(FORMS[form], problem(NEGATIVES + 1))
    where = problem(size)
    before = measure.restart_peak()
    with_gradient(FORMS[form], where)
    print(measure.own_peak_mb() - before)


def memory_rows() -> Iterator[Row]:
    """Aim 4 in memory: MB above bank and batch, against B x N float32."""
    held = BATCH * LARGE * 4 / 1e6
    for number, form, what in (
        ("4", "ours", "contrastive"),
        ("4", "plain", "plain autograd: cross_entropy"),
        ("5", "ours_hard", f"hard_contrastive, K = {NEGATIVES}"),
        ("5", "plain_hard", f"plain autograd: topk, K = {NEGATIVES}"),
    ):
        extra = measure.peak_mb("losses.py", "memory", form, LARGE, torch.get_num_threads())
        yield Row(
            number, f"peak memory above bank and batch, {what}, N = {LARGE:,}",
            "B x N float32", extra, held, extra / held, "<= 0.1" if form == "ours" else "",
            unit="MB",
        )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        torch.set_num_threads(int(sys.argv[4]))
        memory(sys.argv[2], int(sys.argv[3]))
    else:
        measure.arguments(__doc__)
        measure.show("losses", [*rows(), *memory_rows()])
