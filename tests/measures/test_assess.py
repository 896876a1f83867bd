"""All measures together equal the single ones; flags come where they should, and only there."""

import math

import numpy as np
import pytest
import torch

from points import clustered, gaussian
from tausweep.measures import geometry
from tausweep.measures.assess import assess
from tausweep.measures.quality import LOW_DIMENSION, QUALITIES, differences
from tausweep.measures.sphere_dimension import effective_dimension

pytestmark = pytest.mark.numerical


def test_values_are_those_of_the_single_measures() -> None:
    x, labels = clustered(300, 16, 5, 0.8)
    y = x + 0.1 * gaussian(300, 16, 9)
    found = assess(x, labels, views=(x, y))
    values = {name: one.value for name, one in found.estimates.items()}
    assert list(values) == list(QUALITIES)
    assert values["uniformity"] == geometry.uniformity(x)
    assert values["tolerance"] == geometry.tolerance(x, labels)
    assert values["interclass_similarity"] == geometry.interclass_similarity(x, labels)
    assert values["tolerance_gap"] == values["tolerance"] - values["interclass_similarity"]
    assert values["alignment"] == geometry.alignment(x, y)
    assert values["rankme"] == geometry.rankme(x)
    assert values["effective_dimension"] == effective_dimension(values["uniformity"])
    assert values["common_mean"] == geometry.common_mean(x)
    assert values["linear_accuracy"] > 90
    for one in found.estimates.values():
        assert one.low is not None
        assert one.high is not None
        assert one.low <= one.value <= one.high
        assert one.n == 300
    assert not found.missing


def test_good_embeddings_have_no_flag() -> None:
    x, labels = clustered(4000, 16, 10, 0.8)
    assert assess(x, labels).flags == []


def test_a_collapsed_encoder_is_told_and_not_classified() -> None:
    x = torch.ones(100, 32) + 1e-9 * gaussian(100, 32).double()
    found = assess(x, torch.arange(100) % 2)
    assert [flag.name for flag in found.flags] == ["collapsed"]
    assert "one point" in found.missing["knn_accuracy"]
    assert found.estimates["effective_dimension"].value == 1.0
    assert found.estimates["tolerance"].value == pytest.approx(1.0)


def test_few_directions_are_a_low_rank() -> None:
    x = gaussian(2000, 2) @ gaussian(2, 64, 1)
    names = [(flag.name, flag.measure) for flag in assess(x).flags]
    assert ("low_rank", "rankme") in names
    assert ("low_rank", "effective_dimension") in names


def test_a_large_common_mean_is_told() -> None:
    centre = torch.zeros(32)
    centre[0] = 8
    shifted = assess(gaussian(2000, 32) + centre)
    # It makes the effective dimension small, which is no low rank.
    assert shifted.estimates["effective_dimension"].value < LOW_DIMENSION
    assert [flag.name for flag in shifted.flags] == ["large_common_mean"]
    # Any n points have 1/n of it: three random ones are not told.
    three = assess(torch.eye(32)[:3] + 0.01 * gaussian(3, 32))
    assert "large_common_mean" not in [flag.name for flag in three.flags]


@pytest.mark.parametrize("labels", [[0, 0], [0, 0, 1], [0, 0, 1, 2, 3]])
def test_a_single_pair_gives_no_interval(labels: list[int]) -> None:
    found = assess(gaussian(len(labels), 16), torch.tensor(labels))
    tolerance = found.estimates["tolerance"]
    assert (tolerance.low, tolerance.high) == (None, None)
    (flag,) = [flag for flag in found.flags if flag.measure == "tolerance"]
    assert flag.sentence.startswith("no interval for tolerance: there is a single pair")
    if len(labels) == 2:
        assert all(one.low is None for one in found.estimates.values())
    else:
        assert found.estimates["interclass_similarity"].low is not None


def test_copies_are_told() -> None:
    x = gaussian(500, 16)
    found = assess(torch.cat([x, x[:100]]))
    flag = next(flag for flag in found.flags if flag.name == "copies")
    assert flag.value == pytest.approx(1 / 6)


def test_the_number_that_is_called_enough_is_enough() -> None:
    x, labels = clustered(40_000, 16, 10, 1.0)
    few = assess(x[:150], labels[:150])
    flags = {flag.measure: flag for flag in few.flags if flag.name == "too_few"}
    assert {"uniformity", "knn_accuracy", "linear_accuracy"} <= flags.keys()
    enough = max(flags[name].enough or 0 for name in ("uniformity", "tolerance") if name in flags)
    more = assess(x[: 2 * enough])
    assert "uniformity" not in [flag.measure for flag in more.flags]


def test_a_rank_that_grows_with_instances_is_told() -> None:
    found = assess(gaussian(60, 128))
    flag = next(flag for flag in found.flags if flag.measure == "rankme")
    assert flag.enough is not None
    assert flag.enough > 120


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_handful_of_rows_is_measured_and_told(n: int) -> None:
    found = assess(gaussian(n, 16), torch.zeros(n, dtype=torch.int64))
    assert math.isfinite(found.estimates["uniformity"].value)
    assert any(flag.name == "too_few" and flag.measure == "rankme" for flag in found.flags)
    assert "single class" in found.missing["interclass_similarity"]


def test_classes_of_one_have_no_tolerance() -> None:
    found = assess(gaussian(5, 8), torch.arange(5))
    assert "no class has two" in found.missing["tolerance"]
    assert "no class has two" in found.missing["tolerance_gap"]
    assert "no class has two" in found.missing["linear_accuracy"]


def test_a_training_split_is_learnt_from() -> None:
    x, labels = clustered(400, 8, 4, 0.3)
    found = assess(x[:100], labels[:100], x[100:], labels[100:])
    assert found.split is not None
    assert "300 instances of the training split" in found.split
    assert found.estimates["knn_accuracy"].n == 100
    assert found.estimates["knn_accuracy"].value > 95


def test_equal_inputs_differ_by_nothing() -> None:
    x, labels = clustered(200, 8, 4, 0.8)
    found = assess(x, labels)
    for name, one in differences(found, found).items():
        assert one.value == 0, name
        # Only accuracies have an interval here: nothing scatters.
        assert (one.low is not None) == name.endswith("accuracy"), name
        assert one.low is None or one.high is None or one.low <= 0 <= one.high


def test_paired_differences_are_sharper_than_the_inputs() -> None:
    """The same instances, a little noisier: their common scatter is gone from the difference."""
    x, labels = clustered(500, 16, 5, 0.8)
    a, b = assess(x, labels), assess(x + 0.3 * gaussian(500, 16, 3), labels)
    found = differences(a, b)
    for name in ("uniformity", "tolerance", "rankme", "effective_dimension"):
        half, own = found[name].half_width, a.estimates[name].half_width
        assert half is not None
        assert own is not None
        assert half < own, name
    assert found["uniformity"].high is not None
    assert found["uniformity"].high < 0
    assert found["uniformity"].n == found["rankme"].n == 500


def test_inputs_that_are_no_pair_are_refused() -> None:
    x, labels = clustered(50, 8, 5, 0.8)
    with pytest.raises(ValueError, match="50 and 49 instances"):
        differences(assess(x), assess(x[:49]))
    other = labels.clone()
    other[7] += 1
    with pytest.raises(ValueError, match="different labels, the first at row 7"):
        differences(assess(x, labels), assess(x, other))


def test_paired_intervals_cover() -> None:
    """A - B of two encoders of 150 instances, in 200 samples, against 8,000 instances."""

    def sample(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        draws = np.random.default_rng(seed)
        centres = np.random.default_rng(5).standard_normal((3, 8))
        a = centres[draws.integers(0, 3, n)] + draws.standard_normal((n, 8))
        b = a + 0.7 * draws.standard_normal((n, 8))
        return torch.from_numpy(a), torch.from_numpy(b)

    large = [assess(part) for part in sample(8000, 10**6)]
    truth = differences(large[0], large[1])
    covered = dict.fromkeys(("uniformity", "effective_dimension"), 0)
    for seed in range(200):
        a, b = (assess(part) for part in sample(150, seed))
        found = differences(a, b)
        for name in covered:
            one = found[name]
            assert one.low is not None
            assert one.high is not None
            covered[name] += one.low <= truth[name].value <= one.high
    for name, count in covered.items():
        assert 0.91 <= count / 200 <= 0.995, name


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="two or more"):
        assess(gaussian(1, 4))
    with pytest.raises(ValueError, match="3 integers are needed"):
        assess(gaussian(3, 4), torch.zeros(2, dtype=torch.int64))
    x = gaussian(3, 4)
    x[1, 2] = math.nan
    with pytest.raises(ValueError, match="row 1 is not finite"):
        assess(x)
