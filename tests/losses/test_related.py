"""The losses beside the paper's against their equations, from each source of negatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import loss_references as references
import tolerance
from loss_references import Problem
from tausweep.losses import family, related
from tausweep.losses.batch import Batch
from tausweep.losses.elsewhere import contrastive
from tausweep.losses.run_loss import at_full_precision
from tausweep.study import KINDS, LOSSES, LossSettings
from tausweep.study.loss import LossGrid, resolved

pytestmark = pytest.mark.numerical

PROMISED = 1e-6
"""docs/losses.md: the shipped losses equal their equations to so much in float64."""
SOURCES = ("bank", "queue", "batch")
TAU, HARD = 0.3, 4
SIZE, QUEUE, BATCH, DIM = 12, 9, 5, 4


def problem(source: str, seed: int = 0, dtype: torch.dtype = torch.float64) -> Batch:
    """Random unit vectors; three labels, so that some are shared."""
    draws = torch.Generator().manual_seed(seed)

    def unit(rows: int) -> Tensor:
        drawn = torch.randn(rows, DIM, generator=draws, dtype=torch.float64)
        return F.normalize(drawn, dim=1).to(dtype)

    return Batch(
        anchors=unit(BATCH).requires_grad_(),
        bank=unit(SIZE),
        index=torch.randperm(SIZE, generator=draws)[:BATCH],
        keys=unit(BATCH).requires_grad_(source == "batch") if source != "bank" else None,
        queue=unit(QUEUE) if source == "queue" else None,
        labels=torch.arange(BATCH) % 3,
        progress=0.35,
        negatives_from=source,  # type: ignore[arg-type]
    )


def plain(batch: Batch) -> Problem:
    """The same for the reference."""

    def numbers(tensor: Tensor | None) -> Any:
        return None if tensor is None else tensor.detach().double().numpy()

    return Problem(
        numbers(batch.anchors), numbers(batch.bank), batch.index.numpy(), numbers(batch.keys),
        numbers(batch.queue), None if batch.labels is None else batch.labels.numpy(),
        batch.progress, batch.negatives_from,
    )  # fmt: skip


def made(name: str, temperature: float | None = TAU, **grid: Any) -> nn.Module:
    """A shipped loss with its defaults, in float64."""
    kind = KINDS[name]
    if kind.hard:
        grid.setdefault("negatives", HARD)
    content = resolved(name, LossGrid(**grid)) | {"negatives": grid.get("negatives")}
    content["temperature"] = temperature if kind.temperature else None
    return related.make(LossSettings.model_validate(content), SIZE).double()


def cosine_at(progress: float) -> float:
    return 0.1 + 0.9 * (1 + math.cos(2 * math.pi * 5 * progress)) / 2


Reference = tuple[Callable[[Problem, Any], float], Callable[[Problem], Any]]


def reference_of(name: str) -> Reference:
    """Of a loss with its defaults: the value, and what is frozen in it."""
    if name == "dual_temperature":
        return references.dual_temperature(TAU, 10.0)
    if name == "macl":
        return references.macl(TAU, 0.5, 0.0)
    if name == "supcon":
        return (lambda problem, _: references.supcon(problem, TAU)), lambda _: None
    if name == "cosine_tau":
        tau = cosine_at(0.35)
        return references.mean_over(
            lambda p, n: references.cross_entropy(p, n, tau)
        ), lambda _: None
    per_anchor: dict[str, references.PerAnchor] = {
        "contrastive": lambda p, n: references.cross_entropy(p, n, TAU),
        "nt_xent": lambda p, n: references.cross_entropy(p, n, TAU),
        "learnable_tau": lambda p, n: references.cross_entropy(p, n, TAU),
        "simple": lambda p, n: float(n.mean() - p),
        "hard_contrastive": lambda p, n: references.cross_entropy(
            p, references.hardest(n, HARD), TAU
        ),
        "hard_simple": lambda p, n: float(references.hardest(n, HARD).mean() - p),
        "nearest_negative": lambda p, n: max(float(n.max()) - p, 0.0),
        "decoupled": lambda p, n: float(np.log(np.exp(n / TAU).sum()) - p / TAU),
        "hcl": lambda p, n: references.hcl(p, n, TAU, 1.0, 0.1),
        "simple_var": lambda p, n: float(n.mean() - p + n.var() / (2 * TAU)),
    }
    return references.mean_over(per_anchor[name]), lambda _: None


COMBINATIONS = [
    (name, source)
    for name, kind in KINDS.items()
    for source in kind.negatives_from
    if name != "isogclr" and not (name in LOSSES and source == "bank")
]


@pytest.mark.parametrize(("name", "source"), COMBINATIONS)
def test_value_and_gradients_are_those_of_the_equation(name: str, source: str) -> None:
    value, frozen = reference_of(name)
    for seed in range(3):
        batch = problem(source, seed)
        expected = plain(batch)
        kept = frozen(expected)
        loss = at_full_precision(made(name), batch)
        inputs = {"anchors": batch.anchors}
        if source == "batch":
            assert batch.keys is not None
            inputs["keys"] = batch.keys
        found = dict(zip(inputs, torch.autograd.grad(loss, [*inputs.values()]), strict=True))
        tolerance.check(loss.item(), value(expected, kept), PROMISED, name)
        for of, gradient in references.gradients(value, expected, kept).items():
            tolerance.check(found[of], gradient, PROMISED, f"{name} by {of}")


@pytest.mark.parametrize(("name", "source"), COMBINATIONS)
def test_float32_differs_by_no_more_than_its_rounding(name: str, source: str) -> None:
    """Similarities of unit vectors are off by summed(d); all losses are smooth in s / tau."""
    module = made(name)
    wide = module(problem(source))
    narrow = module.float()(problem(source, dtype=torch.float32))
    smallest = cosine_at(0.35) if name == "cosine_tau" else TAU
    off = 4 * tolerance.summed(DIM, torch.float32) / smallest + tolerance.weights(
        smallest, SIZE, torch.float32
    )
    # Of the value, and of the weight by which some losses multiply it.
    tolerance.check(narrow.item(), wide.item(), 4 * off * max(1.0, abs(wide.item())), name)


@pytest.mark.parametrize("name", LOSSES)
def test_elsewhere_and_the_family_are_one_loss(name: str) -> None:
    """The paper's losses over all similarities, and streaming over the bank."""
    kind = KINDS[name]
    tau, hard = TAU if kind.temperature else None, HARD if kind.hard else None
    batch = problem("bank")
    streamed = family.make(name, tau, hard)(batch.anchors, batch.bank, batch.index)
    explicit = made(name)(batch)
    tolerance.check(explicit.item(), streamed.item(), PROMISED)
    found = [torch.autograd.grad(loss, batch.anchors)[0] for loss in (explicit, streamed)]
    tolerance.check(found[0], found[1], PROMISED)


@pytest.mark.parametrize("source", SOURCES)
def test_isogclr_follows_its_algorithm(source: str) -> None:
    """Losses of four steps on one batch, and the temperatures after them."""
    options = {"rho": 0.3, "gamma": 0.6, "eta": 0.02, "beta": 0.7, "smallest": 0.05, "largest": 0.9,
               "clip": 3.0}  # fmt: skip
    module = made("isogclr", options=options)
    batch = problem(source)
    values, taus = references.isogclr(plain(batch), TAU, **options, steps=4)
    found = [module(batch).item() for _ in range(4)]
    tolerance.check(found, values, PROMISED)
    # The module was made in float32, whose 0.3 is another.
    kept = module.state_dict()["tau"][batch.index]
    tolerance.check(kept, taus, 1e-6)
    others = torch.ones(SIZE, dtype=torch.bool).index_fill(0, batch.index, False)
    assert (module.state_dict()["tau"][others] == module.state_dict()["tau"][others][0]).all()
    assert module.state_dict()["log_u"][others].isinf().all()


# --- identities -----------------------------------------------------------------------------------


def gradient(module: nn.Module, batch: Batch) -> Tensor:
    (found,) = torch.autograd.grad(module(batch), batch.anchors)
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_what_becomes_eq_1_does_so(source: str) -> None:
    batch = problem(source)
    expected = contrastive(*batch.similarities(), TAU).mean().item()
    like = [
        made("hcl", options={"beta": 0, "tau_plus": 0}),
        made("dual_temperature", options={"ratio": 1}),
        made("cosine_tau", options={"low": TAU, "high": TAU}),
        made("learnable_tau"),
    ]
    for module in like:
        tolerance.check(module(batch).item(), expected, PROMISED, type(module).__name__)


def test_nt_xent_of_equal_embeddings_is_the_logarithm_of_the_others() -> None:
    batch = problem("batch")
    same = batch.bank[:1].expand(BATCH, -1)
    equal = Batch(same, batch.bank, batch.index, same, negatives_from="batch")
    tolerance.check(made("nt_xent")(equal).item(), math.log(2 * BATCH - 1), PROMISED)


def test_nt_xent_does_not_know_which_view_is_first() -> None:
    batch = problem("batch")
    assert batch.keys is not None
    swapped = Batch(batch.keys, batch.bank, batch.index, batch.anchors, negatives_from="batch")
    tolerance.check(made("nt_xent")(swapped).item(), made("nt_xent")(batch).item(), PROMISED)


@pytest.mark.parametrize("name", ["decoupled", "macl"])
@pytest.mark.parametrize("near", [0.0, 0.9])
def test_the_pull_to_the_positive_does_not_fade(name: str, near: float) -> None:
    """dL/ds_ii = -1/tau of every anchor, and of macl at the temperature of the alignment."""
    _, negatives = problem("queue").similarities()
    positive = torch.linspace(near, near + 0.1, len(negatives), dtype=torch.float64)
    tau = TAU if name == "decoupled" else TAU * (1 + 0.5 * (near + 0.05))
    positive.requires_grad_()
    (found,) = torch.autograd.grad(made(name)(_Fixed(positive, negatives.detach())), positive)
    tolerance.check(found * len(positive), np.full(len(positive), -1 / tau), PROMISED)


class _Fixed:
    """A batch whose similarities are given."""

    def __init__(self, positive: Tensor, negatives: Tensor) -> None:
        self.given = positive, negatives

    def similarities(self) -> tuple[Tensor, Tensor]:
        return self.given


def test_decoupled_is_less_than_eq_1_by_its_softplus() -> None:
    positive, negatives = (part.detach() for part in problem("bank").similarities())
    x = (negatives / TAU).logsumexp(1) - positive / TAU
    tolerance.check(contrastive(positive, negatives, TAU), np.log1p(np.exp(x.numpy())), PROMISED)


def test_hcl_rises_with_beta_and_equal_negatives_have_no_weights() -> None:
    batch = problem("bank")
    values = [made("hcl", options={"beta": b, "tau_plus": 0})(batch).item() for b in (0, 1, 4)]
    assert values == sorted(values)
    equal = _Fixed(torch.zeros(3, dtype=torch.float64), torch.full((3, 6), 0.2).double())
    flat = [made("hcl", options={"beta": b, "tau_plus": 0})(equal).item() for b in (0, 7)]
    tolerance.check(flat[0], flat[1], PROMISED)


def test_hcl_is_finite_where_its_smallest_sum_has_no_place_in_float32() -> None:
    batch = problem("bank", dtype=torch.float32)
    loss = related.make(
        LossSettings(name="hcl", temperature=0.007, options={"beta": 1.0, "tau_plus": 0.1}), SIZE
    )(batch)
    (found,) = torch.autograd.grad(loss, batch.anchors)
    assert torch.isfinite(loss)
    assert torch.isfinite(found).all()


def test_dual_temperature_has_the_size_of_one_and_the_distribution_of_the_other() -> None:
    """dL/ds_ik = Q(10 tau) / tau times the share of k among the negatives at tau."""
    positive, negatives = (part.detach() for part in problem("queue").similarities())
    negatives.requires_grad_()
    (found,) = torch.autograd.grad(made("dual_temperature")(_Fixed(positive, negatives)), negatives)
    between = contrastive(positive, negatives.detach(), 10 * TAU)
    expected = (1 - (-between).exp())[:, None] / TAU * (negatives / TAU).softmax(1)
    tolerance.check(found * len(positive), expected.detach(), PROMISED)


def test_simple_var_tends_to_simple_and_is_the_expansion_of_decoupled() -> None:
    batch = problem("bank")
    simple = made("simple")(batch).item()
    tolerance.check(made("simple_var", 1e7)(batch).item(), simple, PROMISED)
    for tau in (20.0, 40.0):
        shifted = tau * (made("decoupled", tau)(batch).item() - math.log(SIZE - 1))
        # The next term is the third cumulant over 6 tau^2; of numbers in [-1, 1] it is at most 8.
        tolerance.check(made("simple_var", tau)(batch).item(), shifted, 8 / (6 * tau**2))


def test_cosine_tau_swings_from_high_to_low_and_back() -> None:
    module: Any = made("cosine_tau", options={"low": 0.2, "high": 0.8, "periods": 2})
    found = [module.temperature(progress) for progress in (0, 0.125, 0.25, 0.5)]
    assert found == pytest.approx([0.8, 0.5, 0.2, 0.8])


def test_a_learnt_temperature_has_the_derivative_of_the_equation() -> None:
    batch = problem("bank")
    module: Any = made("learnable_tau")
    (found,) = torch.autograd.grad(module(batch), module.log_scale)
    ends = [
        contrastive(*batch.similarities(), TAU * math.exp(-step)).mean().item()
        for step in (1e-6, -1e-6)
    ]
    tolerance.check(found.item(), (ends[0] - ends[1]) / 2e-6, PROMISED)
    low, high = module.clamp["log_scale"]
    assert (math.exp(-high), math.exp(-low)) == pytest.approx((0.01, 1.0))


def test_isogclr_of_fresh_means_and_fixed_temperatures_is_tau_times_decoupled() -> None:
    batch = problem("bank")
    own = made("isogclr", options={"gamma": 1, "eta": 0})
    # The module's temperatures are float32's nearest to tau.
    tau = float(torch.tensor(TAU, dtype=torch.float32))
    tolerance.check(gradient(own, batch), tau * gradient(made("decoupled", tau), batch), PROMISED)


def test_supcon_without_shared_labels_is_nt_xent() -> None:
    batch = problem("batch")
    apart = Batch(
        batch.anchors, batch.bank, batch.index, batch.keys, labels=torch.arange(BATCH),
        negatives_from="batch",
    )  # fmt: skip
    tolerance.check(made("supcon")(apart).item(), made("nt_xent")(batch).item(), PROMISED)


def test_negatives_from_elsewhere_are_never_the_positive_nor_the_anchor() -> None:
    """In a batch 2 B - 2 of them, and of the bank N - 1."""
    shapes = {source: problem(source).similarities().negatives.shape for source in SOURCES}
    assert shapes == {
        "bank": (BATCH, SIZE - 1),
        "queue": (BATCH, QUEUE),
        "batch": (2 * BATCH, 2 * BATCH - 2),
    }
