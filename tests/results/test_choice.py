"""The decision: what is within noise, when there is no answer, and how often it is wrong."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from tausweep.results import choice
from tausweep.results.choice import Outcome

TAUS = (0.07, 0.2, 0.5, 1.0)
IMAGES = 500


def right(
    shares: tuple[float, ...], seeds: int = 3, images: int = IMAGES, draw: int = 0
) -> NDArray[np.bool_]:
    """T x S x M: images differ in difficulty, in the same way for all runs up to some noise."""
    draws = np.random.default_rng(draw)
    hard = draws.normal(size=images)
    own = 0.4 * draws.normal(size=(len(shares), 1, images))
    noise = 0.5 * draws.normal(size=(len(shares), seeds, images))
    latent = hard + own + noise
    limits = np.quantile(latent, shares)
    return np.asarray(latent < limits[:, None, None])


BASE = {"untrained": right((0.2,))[0], "raw_pixels": right((0.15,), 1, draw=1)[0]}


def outcome(shares: tuple[float, ...], **changes: object) -> Outcome:
    """Of runs that get these shares of the images right, with weak baselines."""
    return Outcome(TAUS[: len(shares)], right(shares), **{"baselines": BASE, **changes})  # type: ignore[arg-type]


def test_the_middle_of_what_is_not_clearly_worse_is_the_answer() -> None:
    found = choice.choose(outcome((0.55, 0.56, 0.55, 0.35)))
    assert found.within == (0.07, 0.2, 0.5)
    assert found.temperature == 0.2
    assert [s.clearly_worse for s in found.standings] == [False, False, False, True]
    assert found.standings[3].behind_low > 0
    assert not found.open
    assert not found.settle


def test_a_clear_best_stands_alone() -> None:
    found = choice.choose(outcome((0.3, 0.6, 0.4, 0.3)))
    assert found.within == (0.2,)
    assert found.temperature == found.best.temperature == 0.2


def test_the_interval_of_a_mean_is_that_of_its_test_images() -> None:
    """Without noise of seeds it is the binomial interval."""
    truth = np.random.default_rng(0).random(2000) < 0.4
    same = np.broadcast_to(truth, (2, 3, 2000))
    found = choice.choose(Outcome(TAUS[:2], same, {"untrained": ~same[0]}))
    share = truth.mean()
    half = 196 * np.sqrt(share * (1 - share) / 2000)
    low, high = found.standings[0].low, found.standings[0].high
    assert (high - low) / 2 == pytest.approx(half, rel=0.06)
    assert (high + low) / 2 == pytest.approx(100 * share, abs=0.2)


def test_no_answer_where_a_baseline_is_not_clearly_beaten() -> None:
    shares = (0.30, 0.31, 0.30, 0.29)
    strong = {"untrained": right((0.3,))[0], "raw_pixels": BASE["raw_pixels"]}
    found = choice.choose(outcome(shares, baselines=strong))
    assert found.temperature is None
    assert found.candidate in TAUS
    assert "an untrained encoder (30.0%)" in found.open[0]
    assert "raw pixels" not in found.open[0]
    assert "train longer" in found.settle[0]
    assert choice.choose(outcome(shares, baselines={})).temperature is None


def test_no_answer_where_the_best_half_way_is_clearly_worse_at_the_end() -> None:
    shares = (0.6, 0.5, 0.4, 0.3)
    end = 100 * np.array(shares)[:, None].repeat(3, axis=1)
    still = choice.choose(outcome(shares, half=end - 10, end=end))
    assert still.temperature == 0.07
    moved = choice.choose(outcome(shares, half=end[::-1], end=end))
    assert moved.temperature is None
    assert "half-way tau = 1 was best" in moved.open[0]


def test_no_answer_where_one_that_is_worse_would_be_ahead_after_as_long_again() -> None:
    shares = (0.6, 0.5, 0.3, 0.3)
    end = 100 * np.array(shares)[:, None].repeat(3, axis=1)
    half = end - 5
    half[1] -= 15  # it was 25 points behind and is 10
    found = choice.choose(outcome(shares, half=half, end=end))
    assert found.temperature is None
    assert "tau = 0.2 is behind 0.07 by 10.0 points, and gained 15.0" in found.open[0]
    half[1] += 12  # it gained 3: as much again does not do
    assert choice.choose(outcome(shares, half=half, end=end)).temperature == 0.07


def test_what_is_within_noise_ends_at_one_that_was_clearly_worse_before() -> None:
    even = outcome((0.55, 0.56, 0.55, 0.55))
    assert choice.choose(even).within == TAUS
    found = choice.choose(even, excluded=(0.3,))
    low = found.best.temperature < 0.3
    assert found.within == ((0.07, 0.2) if low else (0.5, 1.0))
    assert choice.choose(even, excluded=(2.0,)).within == TAUS


def test_neighbours_of_the_best_end_at_one_that_is_clearly_worse() -> None:
    assert choice.around([False, True, False, False], 2) == [2, 3]
    assert choice.around([False, False, False], 0) == [0, 1, 2]
    assert choice.around([True, False, True], 1) == [1]


@pytest.mark.parametrize(
    ("within", "middle"),
    [((0.1, 0.2, 0.3), 0.2), ((0.07, 0.2, 0.5, 1.0), 0.2), ((0.5,), 0.5), ((0.1, 0.2), 0.1)],
)
def test_the_middle_is_that_of_ratios(within: tuple[float, ...], middle: float) -> None:
    assert choice.middle_of(within) == middle


def test_the_same_runs_give_the_same_answer() -> None:
    one, two = (choice.choose(outcome((0.5, 0.52, 0.5, 0.4))) for _ in range(2))
    assert one == two


def test_two_temperatures_and_two_seeds_are_needed() -> None:
    for shape in ((1, 3, 10), (2, 1, 10)):
        with pytest.raises(ValueError, match="two are needed"):
            choice.choose(Outcome(TAUS[: shape[0]], np.zeros(shape, dtype=bool)))


@pytest.mark.parametrize(("seeds", "spread"), [(3, 0.05), (3, 0.15), (2, 0.05)])
def test_of_equal_temperatures_few_are_called_clearly_worse(
    seeds: int, spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of four equally good ones is excluded in less than 1 of 20 studies (docs/choose.md).

    Seeds differ by about as much as those of real runs: 1 and 3 points.
    """
    monkeypatch.setattr(choice, "DRAWS", 800)
    draws, excluded, studies = np.random.default_rng(1), 0, 150
    for _ in range(studies):
        hard = draws.normal(size=300)
        own = 0.4 * draws.normal(size=(4, 1, 300))
        of_seed = spread * draws.normal(size=(4, seeds, 1))
        latent = hard + own + of_seed + 0.5 * draws.normal(size=(4, seeds, 300))
        found = choice.choose(Outcome(TAUS, latent > 0, {"untrained": (latent > 0)[0]}))
        excluded += found.standings[0].clearly_worse
    # 1 in 20, and three standard deviations of a simulation of this size.
    assert excluded / studies < 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)


def test_a_large_difference_is_found() -> None:
    """Ten points with 500 images and three seeds."""
    found = [
        choice.choose(Outcome(TAUS[:2], right((0.5, 0.4), draw=draw), BASE)) for draw in range(20)
    ]
    assert all(one.standings[1].clearly_worse for one in found)


def test_bands_do_not_depend_on_the_order_of_seeds() -> None:
    shares = (0.5, 0.52, 0.5, 0.4)
    whole = choice.choose(outcome(shares))
    for order in itertools.permutations(range(3)):
        turned = Outcome(TAUS, right(shares)[:, list(order)], BASE)
        assert choice.choose(turned).within == whole.within
