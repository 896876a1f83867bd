"""Random numbers of a view belong to seed, epoch and instance."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from tausweep.study import ViewSettings
from tausweep.views import rendering
from view_problems import EVERYTHING, differing, same

pytestmark = pytest.mark.numerical


def test_the_draw_of_an_instance_does_not_depend_on_the_number_of_instances() -> None:
    few = rendering.draw(EVERYTHING, 32, 32, 10, 5, 6)
    assert same(few, rendering.draw(EVERYTHING, 32, 32, 1000, 5, 6).take(slice(10)))


def test_global_generators_are_neither_read_nor_moved() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    states = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    first = rendering.draw(EVERYTHING, 32, 32, 50, 1, 1)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == states[1]  # noqa: NPY002
    torch.manual_seed(1)
    assert same(first, rendering.draw(EVERYTHING, 32, 32, 50, 1, 1))


def test_epochs_seeds_and_streams_differ() -> None:
    draws = [
        rendering.draw(EVERYTHING, 32, 32, 200, seed, epoch, stream)
        for seed, epoch, stream in [
            (1, 2, "train"), (2, 1, "train"), (1, 3, "train"), (12, 2, "train"), (1, 2, "linear"),
        ]
    ]  # fmt: skip
    for a, b in itertools.combinations(draws, 2):
        assert differing(a, b) == set(a.tensors())
        for name in ("brightness", "hue", "sigma"):
            assert abs(np.corrcoef(a.tensors()[name], b.tensors()[name])[0, 1]) < 0.3


def test_kinds_of_numbers_are_independent() -> None:
    p = rendering.draw(EVERYTHING, 224, 224, 4000, 0, 0).tensors()
    box = ("top", "left", "height", "width")  # among each other they are bound by geometry
    p["first operation"] = p.pop("jitter_order")[:, 0]
    correlation = np.corrcoef(torch.stack([value.double() for value in p.values()]))
    for (i, a), (j, b) in itertools.combinations(enumerate(p), 2):
        if not (a in box and b in box):
            assert abs(correlation[i, j]) < 0.08, (a, b)


FIELDS_OF_SETTING = {
    "crop_scale": ((0.5, 1.0), {"top", "left", "height", "width"}),
    "crop_ratio": ((0.5, 2.0), {"top", "left", "height", "width"}),
    "brightness": (0.8, {"brightness"}),
    "contrast": (0.8, {"contrast"}),
    "saturation": (0.8, {"saturation"}),
    "hue": (0.1, {"hue"}),
    "jitter_probability": (0.3, {"jitter"}),
    "grayscale": (0.7, {"grayscale"}),
    "flip": (False, {"flip"}),
    "blur_probability": (0.9, {"blur"}),
    "blur_sigma": ((0.5, 1.0), {"sigma"}),
}


@pytest.mark.parametrize("setting", ViewSettings.model_fields)
def test_a_setting_changes_the_draws_of_its_own_operation_only(setting: str) -> None:
    value, fields = FIELDS_OF_SETTING[setting]
    changed = EVERYTHING.model_copy(update={setting: value})
    a = rendering.draw(EVERYTHING, 32, 32, 300, 0, 0)
    assert differing(a, rendering.draw(changed, 32, 32, 300, 0, 0)) == fields


def test_flip_off_mirrors_nothing_and_on_mirrors_half() -> None:
    off = rendering.draw(ViewSettings(flip=False), 32, 32, 10_000, 0, 0).flip
    on = rendering.draw(ViewSettings(flip=True), 32, 32, 10_000, 0, 0).flip
    assert not off.any()
    assert stats.binomtest(int(on.sum()), 10_000).pvalue > 0.001


def test_the_streams_are_what_they_were() -> None:
    # Another generator or address here would silently change every number of every study.
    p = rendering.draw(EVERYTHING, 32, 32, 3, 0, 0)
    box = torch.stack([p.top, p.left, p.height, p.width], 1)
    assert rendering.order(8, 0, 0).tolist() == [7, 2, 0, 1, 3, 5, 4, 6]
    assert box.tolist() == [[9, 0, 19, 22], [0, 0, 30, 32], [6, 5, 26, 24]]
    assert p.jitter_order.tolist() == [[2, 3, 0, 1], [3, 1, 0, 2], [3, 2, 0, 1]]
    assert p.hue.tolist() == pytest.approx([0.1594, -0.227, -0.2231], abs=1e-4)
    assert p.sigma.tolist() == pytest.approx([1.6634, 0.4069, 0.5416], abs=1e-4)


def test_an_order_is_a_permutation_of_its_seed_and_epoch() -> None:
    orders = [rendering.order(500, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    for found in orders:
        assert found.dtype == torch.int64
        assert found.sort().values.tolist() == list(range(500))
    assert torch.equal(orders[0], rendering.order(500, 0, 0))
    for a, b in itertools.combinations(orders, 2):
        assert (a == b).sum() < 10


def test_every_place_of_an_order_is_equally_likely() -> None:
    first = [int(rendering.order(6, 0, epoch)[0]) for epoch in range(1200)]
    assert stats.chisquare(np.bincount(first, minlength=6)).pvalue > 0.001


def test_probabilities_and_the_blur_are_as_asked() -> None:
    p = rendering.draw(EVERYTHING, 32, 32, 10_000, 0, 0)
    for chosen, probability in ((p.jitter, 0.8), (p.grayscale, 0.2), (p.blur, 0.5)):
        assert stats.binomtest(int(chosen.sum()), 10_000, probability).pvalue > 0.001
    assert stats.kstest(p.sigma, stats.uniform(0.1, 1.9).cdf).pvalue > 0.001


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_probabilities_zero_and_one_are_certain(probability: float) -> None:
    drawn = ViewSettings(
        jitter_probability=probability, grayscale=probability, blur_probability=probability
    )
    p = rendering.draw(drawn, 32, 32, 2000, 0, 0)
    for chosen in (p.jitter, p.grayscale, p.blur):
        assert chosen.all() if probability else not chosen.any()


def test_wrong_arguments_of_a_draw_are_named() -> None:
    for change, named in (
        ({"n": -1}, "n: -1"),
        ({"seed": -1}, "seed: -1"),
        ({"epoch": -2}, "epoch: -2"),
        ({"height": 0}, "height: 0"),
        ({"width": torch.tensor([8, 8])}, "width"),
    ):
        right = {"height": 8, "width": 8, "n": 4, "seed": 0, "epoch": 0}
        with pytest.raises(ValueError, match=named):
            rendering.draw(ViewSettings(), **(right | change))
    with pytest.raises(ValueError, match="n: -1"):
        rendering.order(-1, 0, 0)
