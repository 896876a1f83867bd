"""What the paper says of the loss itself is found on embeddings, and a wrong loss is found out."""

import json
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import reference
import tolerance
from examples import examples
from points import near_bank
from tausweep.losses import make
from tausweep.measures import penalty

pytestmark = pytest.mark.numerical

LossFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
GRID = (0.05, 0.3, 1.0)
# Both sides of the balance are P times a sum of the softmax's 199 weights, in groups and at once,
# over its sum: only sums and a few products round. A wrong formula is off by percents.
BALANCED = 4 * tolerance.summed(200)


def exchanged(data: tuple[Tensor, Tensor, Tensor], name: str, size: int | None) -> float:
    """What rounding allows between two losses over GRID, of the same instances elsewhere."""
    doubles = data[0].double(), data[1].double(), data[2]
    return max(2 * tolerance.loss(name, *doubles, tau, size).value for tau in GRID)


def embeddings(
    m: int = 70, n: int = 200, d: int = 16, closeness: float = 1.0, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    return near_bank(m, n, d, closeness, 0.6, seed)


def negatives_of(anchors: Tensor, bank: Tensor, index: Tensor) -> list[np.ndarray]:
    similarities = anchors.double().numpy() @ bank.double().numpy().T
    return [np.delete(row, own) for row, own in zip(similarities, index.tolist(), strict=True)]


# ----------------------------------------------------------------------------- relative penalties


@settings(max_examples=examples(20))
@given(
    n=st.integers(3, 30),
    tau=st.floats(0.05, 2.0),
    size=st.none() | st.integers(1, 29),
    seed=st.integers(0, 99),
)
def test_entropy_and_interval_equal_their_definitions(
    n: int, tau: float, size: int | None, seed: int
) -> None:
    size = None if size is None else min(size, n - 1)
    anchors, bank, index = embeddings(min(n, 5), n, 4, 0.5, seed)
    result = penalty.relative_penalties(anchors, bank, index, (tau,), size)
    for i, s in enumerate(negatives_of(anchors, bank, index)):
        s = np.sort(s)[::-1][:size]
        r = np.exp((s - s[0]) / tau)
        r /= r.sum()
        entropy = -np.sum(r * np.log(r))
        # Each r is off by `rounding`, relatively, and so is r log r by that of both factors.
        rounding = 2 * (tolerance.weights(tau, n) + 2 * tolerance.summed(4) / tau)
        allowed = rounding * (1 + entropy)
        assert result.entropy[i, 0] == pytest.approx(entropy, rel=0, abs=allowed)
        # The largest similarity such that those at or above it bear 90%.
        borne = np.cumsum(r)
        assume((np.abs(borne - 0.9) > rounding).all())  # else the next one is right as well
        bearing = s[np.argmax(borne >= 0.9)]
        allowed = 4 * tolerance.summed(4)
        assert result.width[i, 0] == pytest.approx(s[0] - bearing, rel=0, abs=allowed)


def test_entropy_rises_and_interval_narrows_on_every_anchor() -> None:
    result = penalty.relative_penalties(*embeddings())
    assert result.temperatures == penalty.TEMPERATURES
    assert result.entropy.shape == result.width.shape == (70, 12)
    assert result.entropy_rises() == 1.0
    assert result.interval_narrows() == 1.0
    assert float(result.entropy.max()) < math.log(199)


def test_shares_count_anchors_that_do_not_follow() -> None:
    entropy = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 2.0], [3.0, 2.0, 4.0], [0.0, 0.1, 0.2]])
    width = torch.tensor([[0.0, 0.1, 0.1], [0.2, 0.1, 0.3], [0.1, 0.1, 0.1], [0.0, 0.0, 0.3]])
    result = penalty.Penalties(GRID, entropy, width)
    assert result.entropy_rises() == 0.5
    assert result.interval_narrows() == 0.5


def test_equal_negatives_are_penalised_equally_at_any_temperature() -> None:
    """The one exception of Eq. 5's rising entropy: log(N - 1) always, an interval of no width."""
    bank = torch.tensor([[0.0, 1.0]] * 8 + [[1.0, 0.0]])
    anchors = torch.tensor([[1.0, 0.0]])
    result = penalty.relative_penalties(anchors, bank, torch.tensor([8]), GRID)
    assert result.entropy.tolist()[0] == pytest.approx([math.log(8)] * 3)
    assert result.width.tolist() == [[0.0, 0.0, 0.0]]
    assert result.entropy_rises() == result.interval_narrows() == 0.0


def test_low_temperature_leaves_one_effective_negative_and_high_temperature_all() -> None:
    result = penalty.relative_penalties(*embeddings(), (1e-6, 1e6))
    # The nearest negatives of none of the 70 are within 20 tau: e^-20 is what is left of a second.
    assert float(result.entropy[:, 0].exp().mean()) == pytest.approx(
        1, abs=20 * 199 * math.exp(-20)
    )
    # log 199 - H is the variance of s over 2 tau^2, at most 1 / (2 tau^2).
    allowed = 2 * tolerance.weights(1e6, 199) * (1 + math.log(199)) + 0.5e-12
    assert float(result.entropy[:, 1].exp().mean()) == pytest.approx(199, rel=allowed)


# ------------------------------------------------------------------------------- gradient balance


@pytest.mark.parametrize("closeness", [1.0, 0.0, -1.0])
def test_negative_gradients_sum_to_the_positive_one(closeness: float) -> None:
    assert penalty.gradient_balance(*embeddings(closeness=closeness)) < BALANCED


def test_hard_losses_are_balanced_too() -> None:
    assert (
        penalty.gradient_balance(
            *embeddings(), GRID, lambda tau: make("hard_contrastive", tau, negatives=12)
        )
        < BALANCED
    )
    assert penalty.gradient_balance(*embeddings(), GRID, lambda _: make("simple")) < BALANCED


def by_autograd(formula: Callable[[Tensor, Tensor], Tensor]) -> LossFunction:
    """A loss from a formula of (s_ii, all similarities), differentiated by autograd."""

    def loss(anchors: Tensor, bank: Tensor, index: Tensor) -> Tensor:
        similarities = anchors @ bank.T
        return formula(similarities.gather(1, index[:, None])[:, 0], similarities).mean()

    return loss


def test_a_temperature_missing_from_one_term_unbalances_the_gradient() -> None:
    def broken(tau: float) -> LossFunction:
        return by_autograd(lambda own, s: torch.logsumexp(s / tau, 1) - own)

    def right(tau: float) -> LossFunction:
        return by_autograd(lambda own, s: torch.logsumexp(s / tau, 1) - own / tau)

    data = embeddings(closeness=0.0)
    # Autograd has P - 1 for the positive, which loses what 1 - P is short of 1.
    s = (data[0].double() @ data[1].double().T).numpy()
    p = reference.probabilities(s, data[2].numpy(), min(GRID))[np.arange(70), data[2].numpy()]
    allowed = 2 * tolerance.weights(min(GRID), 200) / (1 - p.max())
    assert allowed < 1e-9
    assert penalty.gradient_balance(*data, GRID, right) < allowed
    assert penalty.gradient_balance(*data, (0.3,), broken) > 0.5


def test_balance_has_the_size_that_the_similarities_say() -> None:
    """sum_j |dL/ds_ij| / |dL/ds_ii| with weights 2 on the negatives: off by exactly 1."""
    doubled = by_autograd(lambda own, s: -own + 2 * (s.sum(1) - own) / (s.shape[1] - 1))
    assert penalty.gradient_balance(*embeddings(), (1.0,), lambda _: doubled) == pytest.approx(1.0)


def test_a_positive_without_gradient_is_no_balance() -> None:
    only_negatives = by_autograd(lambda own, s: s.sum(1) - own)
    assert penalty.gradient_balance(*embeddings(), (1.0,), lambda _: only_negatives) == math.inf


# --------------------------------------------------------------------------------------- exchange


@pytest.mark.parametrize("m", [2, 70, 200])
def test_exchanging_instances_leaves_the_loss(m: int) -> None:
    for name in ("contrastive", "hard_contrastive"):
        size = 12 if name.startswith("hard") else None
        data = embeddings(m)
        difference = penalty.exchange_difference(*data, GRID, partial(make, name, negatives=size))
        assert difference <= exchanged(data, name, size)


def test_a_loss_that_looks_at_the_instances_number_changes() -> None:
    def weighted(tau: float) -> LossFunction:
        def loss(anchors: Tensor, bank: Tensor, index: Tensor) -> Tensor:
            shares = index.to(anchors.dtype) / len(bank)
            return (shares * ((anchors @ bank.T) / tau).logsumexp(1)).mean()

        return loss

    assert penalty.exchange_difference(*embeddings(), GRID, weighted) > 1e-4


def test_an_anchors_augmentation_moves_with_its_bank_entry() -> None:
    """Exchanging one without the other would change the loss: the check's permutation is whole."""
    anchors, bank, index = embeddings()
    apart = make("contrastive", 0.1)(anchors.roll(1, 0), bank, index)
    assert abs(float(apart - make("contrastive", 0.1)(anchors, bank, index))) > 0.1


# ----------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("closeness", [1.0, 0.0, -1.0])
def test_limits_hold_on_embeddings(closeness: float) -> None:
    data = embeddings(closeness=closeness)
    # What Eq. 6 leaves out is tau log N at most, Eq. 7 a variance of at most 1 over 2 tau^2, each
    # over the mean size of what is left, which is above 0.06 for these embeddings.
    assert penalty.limit_low_error(*data) < penalty.LOW * math.log(200) / 0.06
    assert penalty.limit_high_error(*data) < 1 / (2 * penalty.HIGH) / 0.06


@pytest.mark.parametrize("closeness", [1.0, -1.0])
def test_limit_errors_are_those_of_the_equations(
    closeness: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At temperatures where the deviation is large, it is the one that Eq. 1, 6 and 7 have."""
    anchors, bank, index = embeddings(closeness=closeness)
    low, high = 0.1, 2.0
    monkeypatch.setattr(penalty, "LOW", low)
    monkeypatch.setattr(penalty, "HIGH", high)
    s = anchors.double().numpy() @ bank.double().numpy().T
    errors, scales = [], []
    for rows in (index.numpy(), np.roll(index.numpy(), 1)):
        own = s[np.arange(len(s)), rows]
        others = np.stack([np.delete(row, i) for row, i in zip(s, rows, strict=True)])
        loss = np.log(np.exp(s / low).sum(1)) - own / low
        gap = others.max(1) - own
        scales.append(np.abs(gap).mean())
        errors.append(abs(low * loss.mean() - np.maximum(gap, 0).mean()) / np.abs(gap).mean())
    rounding = tolerance.weights(low, 200) + 4 * tolerance.summed(16) / low
    allowed = 4 * low * rounding / min(scales)
    found = penalty.limit_low_error(anchors, bank, index)
    assert found == pytest.approx(max(errors), rel=0, abs=allowed)
    own = s[np.arange(len(s)), index.numpy()]
    n = s.shape[1]
    loss = np.log(np.exp(s / high).sum(1)) - own / high
    terms = -(n - 1) / (n * high) * own + (s.sum(1) - own) / (n * high)
    expected = abs((loss - math.log(n) - terms).mean()) / np.abs(terms).mean()
    assert expected > 0.01
    rounding = tolerance.weights(high, 200) + 4 * tolerance.summed(16) / high
    allowed = 4 * rounding * math.log(n) / np.abs(terms).mean()
    found = penalty.limit_high_error(anchors, bank, index)
    assert found == pytest.approx(expected, rel=0, abs=allowed)


# ------------------------------------------------------------------------------------ all of them


def test_block_is_json_and_holds_the_records_columns() -> None:
    anchors, bank, index = embeddings()
    block = penalty.measure(anchors, bank, index, temperature=0.07, negatives=20)
    assert json.loads(json.dumps(block, allow_nan=False)) == block
    for name in ("entropy", "effective_negatives_by_temperature", "interval_width"):
        assert len(block[name]) == len(block["temperatures"]) == 12
        assert block[name] == sorted(block[name])
    assert 1 < block["effective_negatives"] < 20
    assert block["entropy_rises"] == block["interval_narrows"] == 1.0
    assert block["gradient_balance"] < BALANCED
    doubles = anchors.double(), bank.double(), index
    lowest = tolerance.loss("contrastive", *doubles, min(penalty.TEMPERATURES)).value
    assert block["exchange_difference"] <= 2 * lowest
    free = penalty.measure(anchors, bank, index, GRID)
    assert free["effective_negatives"] is None
    own = penalty.measure(anchors, bank, index, GRID, temperature=0.3)
    assert own["effective_negatives"] == own["effective_negatives_by_temperature"][1]


def test_bank_is_left_bit_identical_and_autocast_changes_nothing() -> None:
    anchors, bank, index = embeddings()
    anchors.requires_grad_()
    kept = bank.clone()
    before = penalty.measure(anchors, bank, index, GRID)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert penalty.measure(anchors, bank, index, GRID) == before
    assert torch.equal(bank, kept)
    assert anchors.grad is None


def test_what_cannot_be_measured_is_refused_by_name() -> None:
    anchors, bank, index = embeddings(5, 9, 4)
    for grid in ((), (0.1, 0.0), (0.1, math.inf), (0.1, 0.2, 0.1)):
        with pytest.raises(ValueError, match="temperatures"):
            penalty.relative_penalties(anchors, bank, index, grid)
    with pytest.raises(ValueError, match="negatives: 9 is not allowed; it is 1 to 8"):
        penalty.relative_penalties(anchors, bank, index, GRID, 9)
    with pytest.raises(ValueError, match="an instance is listed twice"):
        penalty.exchange_difference(anchors, bank, torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ValueError, match="anchors: a value is not finite"):
        penalty.gradient_balance(anchors / 0, bank, index)
