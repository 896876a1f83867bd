"""What each shipped loss takes: a temperature, a hard set, where negatives come from, options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tausweep.study.fields import Count, Number, Positive, Probability, Settings

NegativesFrom = Literal["bank", "queue", "batch"]
"""``bank``: positive and negatives are entries of the memory bank (the paper, InstDisc). ``queue``:
the positive is the key of a second view, by a momentum encoder, and the negatives are a queue of
earlier keys (MoCo). ``batch``: the positive is the second view, the negatives are both views of the
batch's other instances (SimCLR)."""

EVERYWHERE: tuple[NegativesFrom, ...] = ("bank", "queue", "batch")


class HclOptions(Settings):
    """Options of ``hcl`` (Robinson et al. 2021; the defaults are their code's).

    Attributes:
        beta: How strongly near negatives count; 0 counts all alike.
        tau_plus: Share of negatives that are of the anchor's own class; 0 corrects for none.
    """

    beta: Annotated[Number, Field(ge=0)] = 1.0
    tau_plus: Annotated[Number, Field(ge=0, lt=1)] = 0.1


class DualTemperatureOptions(Settings):
    """Options of ``dual_temperature`` (Zhang et al. 2022; the default is their code's).

    Attributes:
        ratio: The temperature between anchors over the temperature within an anchor.
    """

    ratio: Positive = 10.0


class CosineTauOptions(Settings):
    """Options of ``cosine_tau`` (Kukleva et al. 2023).

    Attributes:
        low: Smallest temperature.
        high: Largest temperature; the training begins with it.
        periods: Swings from the largest to the smallest and back in the whole training.
    """

    low: Positive = 0.1
    high: Positive = 1.0
    periods: Positive = 5.0

    @model_validator(mode="after")
    def _ordered(self) -> CosineTauOptions:
        if self.low > self.high:
            raise ValueError(f"low: {self.low} is more than high: {self.high}")
        return self


class LearnableTauOptions(Settings):
    """Options of ``learnable_tau`` (Radford et al. 2021, CLIP).

    Attributes:
        smallest: Temperature below which it is not learnt; CLIP's logits are scaled by at most 100.
        largest: Temperature above which it is not learnt.
    """

    smallest: Positive = 0.01
    largest: Positive = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> LearnableTauOptions:
        if self.smallest > self.largest:
            raise ValueError(f"smallest: {self.smallest} is more than largest: {self.largest}")
        return self


class IsogclrOptions(Settings):
    """Options of ``isogclr`` (Qiu et al. 2023; the defaults are those of their unimodal code).

    Attributes:
        rho: How far the weights of the negatives may be from uniform: the divergence that pulls an
            instance's temperature up.
        gamma: Share of the newest mean in the running mean of an instance's exponentials.
        eta: Learning rate of the temperatures.
        beta: Share of the newest gradient in a temperature's running gradient.
        smallest: Smallest temperature.
        largest: Largest temperature.
        clip: Largest size of a temperature's gradient.
    """

    rho: Annotated[Number, Field(ge=0)] = 0.3
    gamma: Annotated[Number, Field(gt=0, le=1)] = 0.8
    eta: Annotated[Number, Field(ge=0)] = 0.001
    beta: Annotated[Number, Field(gt=0, le=1)] = 0.9
    smallest: Positive = 0.05
    largest: Positive = 1.0
    clip: Positive = 3.0


class MaclOptions(Settings):
    """Options of ``macl`` (Huang et al. 2023).

    Attributes:
        alpha: How far the temperature rises with the alignment.
        threshold: Alignment at which the temperature is the one that the study sets.
    """

    alpha: Annotated[Number, Field(ge=0, le=1)] = 0.5
    threshold: Probability = 0.0


@dataclass(frozen=True)
class LossKind:
    """A shipped loss.

    Attributes:
        temperature: Whether the study sets one.
        hard: Whether it has a hard set.
        negatives_from: Where its negatives may come from; the first is the default.
        options: The model of its options, if it has any.
        supervised: Whether it sees labels.
        parameters: Whether it has parameters that are trained with the encoder.
    """

    temperature: bool = True
    hard: bool = False
    negatives_from: tuple[NegativesFrom, ...] = EVERYWHERE
    options: type[Settings] | None = None
    supervised: bool = False
    parameters: bool = False


PAPER: dict[str, LossKind] = {
    "contrastive": LossKind(),
    "simple": LossKind(temperature=False),
    "hard_contrastive": LossKind(hard=True),
    "hard_simple": LossKind(temperature=False, hard=True),
    "nearest_negative": LossKind(temperature=False),
}
"""The paper's losses (docs/protocol.md)."""

RELATED: dict[str, LossKind] = {
    "nt_xent": LossKind(negatives_from=("batch",)),
    "decoupled": LossKind(),
    "hcl": LossKind(options=HclOptions),
    "dual_temperature": LossKind(options=DualTemperatureOptions),
    "simple_var": LossKind(),
    "cosine_tau": LossKind(temperature=False, options=CosineTauOptions),
    "learnable_tau": LossKind(options=LearnableTauOptions, parameters=True),
    "isogclr": LossKind(options=IsogclrOptions),
    "macl": LossKind(options=MaclOptions),
    "supcon": LossKind(negatives_from=("batch",), supervised=True),
}
"""Losses of others, to stand beside the paper's (docs/losses.md)."""

KINDS = PAPER | RELATED

QUEUE: Count = 4096
"""Default length of a queue (MoCo's code for CIFAR-10)."""
KEY_MOMENTUM = 0.99
"""Default momentum of the momentum encoder (MoCo's code for CIFAR-10)."""
