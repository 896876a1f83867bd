"""What a loss says of itself, and settings and arguments that are refused."""

import math
from typing import Any

import pytest
import torch

from loss_problems import problem
from tausweep import losses

pytestmark = pytest.mark.numerical


def test_a_loss_says_what_it_is_and_cannot_be_changed() -> None:
    loss = losses.make("hard_contrastive", temperature=0.07, negatives=4095)
    assert (loss.name, loss.temperature, loss.negatives) == ("hard_contrastive", 0.07, 4095)
    assert loss.literal_topk is False
    assert loss == losses.make("hard_contrastive", 0.07, 4095)
    with pytest.raises(AttributeError):
        loss.temperature = 0.1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "infonce"}, "loss 'infonce' is unknown; allowed are contrastive, simple, "),
        ({"name": "contrastive"}, "temperature of the loss contrastive must be .*, not None"),
        ({"name": "contrastive", "temperature": 0}, "must be a finite number > 0, not 0$"),
        ({"name": "contrastive", "temperature": -0.1}, "must be a finite number > 0, not -0.1"),
        ({"name": "contrastive", "temperature": math.nan}, "> 0, not nan"),
        ({"name": "contrastive", "temperature": math.inf}, "> 0, not inf"),
        ({"name": "contrastive", "temperature": True}, "> 0, not True"),
        ({"name": "contrastive", "temperature": "0.1"}, "> 0, not '0.1'"),
        (
            {"name": "contrastive", "temperature": 0.1, "negatives": 5},
            "negatives is 5, but the loss contrastive takes all of them",
        ),
        ({"name": "simple", "temperature": 0.1}, "temperature is 0.1, but the loss simple takes"),
        ({"name": "nearest_negative", "temperature": 0.1}, "nearest_negative takes none"),
        ({"name": "hard_simple", "temperature": 0.1, "negatives": 5}, "hard_simple takes none"),
        ({"name": "hard_simple"}, "negatives of the loss hard_simple must be .*, not None"),
        ({"name": "hard_contrastive", "temperature": 0.1}, "must be an integer >= 1, not None"),
        ({"name": "hard_simple", "negatives": 0}, "must be an integer >= 1, not 0"),
        ({"name": "hard_simple", "negatives": 2.0}, "must be an integer >= 1, not 2.0"),
        ({"name": "simple", "literal_topk": True}, "literal_topk is for the hard losses only"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(
    arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        losses.make(**arguments)


def test_more_negatives_than_the_bank_has_are_refused_by_name() -> None:
    anchors, bank, index = problem(0)
    sentence = "negatives of the loss hard_simple is 40, but a bank of 40 has only 39"
    with pytest.raises(ValueError, match=sentence):
        losses.make("hard_simple", negatives=40)(anchors, bank, index)
    s = anchors.detach() @ bank.T
    with pytest.raises(ValueError, match=r"negatives must be an integer in 1\.\.39, not 40"):
        losses.hard_set(s, index, 40)
    with pytest.raises(ValueError, match=r"in 1\.\.40, not 0"):
        losses.hard_set(s, None, 0)


def test_penalties_refuse_a_temperature_of_zero() -> None:
    with pytest.raises(ValueError, match="temperature must be a finite number > 0, not 0"):
        losses.penalties(torch.zeros(1, 3), None, 0)


@pytest.mark.parametrize(
    ("anchors", "bank", "index", "sentence"),
    [
        ((4,), (9, 4), [0], "anchors must be a matrix of floats"),
        ((2, 3), (9, 4), [0, 1], r"\(2, 3\) and bank \(9, 4\) must be B x d and N x d"),
        ((1, 4), (1, 4), [0], "B >= 1 and N >= 2"),
        ((0, 4), (9, 4), [], "B >= 1 and N >= 2"),
        ((2, 4), (9, 4), [0], r"index must be 2 int64 bank rows, not \(1,\)"),
        ((2, 4), (9, 4), [0, 9], r"index must lie in 0\.\.8, the rows of the bank, not in 0\.\.9"),
        ((2, 4), (9, 4), [-1, 3], r"not in -1\.\.3"),
        ((1, 4), (9, 4), [0.0], "int64 bank rows, not .* torch.float32"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(
    anchors: tuple[int, ...], bank: tuple[int, ...], index: list[Any], sentence: str
) -> None:
    rows = torch.tensor(index) if index else torch.empty(0, dtype=torch.int64)
    with pytest.raises(ValueError, match=sentence):
        losses.make("simple")(torch.zeros(anchors), torch.zeros(bank), rows)


def test_integer_anchors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"anchors must be a matrix of floats, not .*int64"):
        losses.make("simple")(
            torch.zeros(2, 3, dtype=torch.int64), torch.zeros(4, 3), torch.tensor([0, 1])
        )
