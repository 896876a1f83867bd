"""The losses by name, and the settings of one of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from tausweep.study.canonical_form import canonical
from tausweep.study.errors import StudyError, did_you_mean
from tausweep.study.fields import Count, Number, Positive, Settings, first_repeated

LOSSES = ("contrastive", "simple", "hard_contrastive", "hard_simple", "nearest_negative")


HARD = frozenset({"hard_contrastive", "hard_simple"})


BASELINES = ("untrained", "raw_pixels")
"""Stand in for a loss as what every loss has to beat: the encoder with its initial weights (and
batch norm statistics from one epoch of views), and no encoder at all. They have no measures of bank
and loss."""


TEMPERATURE_FREE = frozenset({"simple", "hard_simple", "nearest_negative", *BASELINES})


class LossSettings(Settings):
    """The loss of a run, one member of the family.

    Attributes:
        name: One of ``LOSSES`` or ``BASELINES``, or a free name with a ``module``.
        temperature: tau; none for the losses without one.
        negatives: Size K of the hard set (author: 4095).
        alpha: The hard set as a share of the negatives instead of K (Eq. 9).
        literal_topk: The author's variant, in which the positive counts as part of the hard set.
        module: A Python file with ``make(temperature, negatives, **options)``.
        module_digest: Digest of that file's code: a changed loss is a different loss.
        options: Passed to that ``make``.
    """

    name: str
    temperature: Positive | None = None
    negatives: Count | None = None
    alpha: Annotated[Number, Field(gt=0, le=1)] | None = None
    literal_topk: Literal[True] | None = None
    module: str | None = None
    module_digest: str | None = None
    options: dict[str, Any] | None = None

    def hard_set_size(self, bank_size: int) -> int | None:
        """K for a bank of this size; none if the loss uses all negatives.

        Raises:
            StudyError: K is larger than the number of negatives, N - 1.
        """
        if self.alpha is not None:
            return max(1, round(self.alpha * (bank_size - 1)))
        if self.negatives is not None and self.negatives > bank_size - 1:
            raise StudyError(
                f"losses.{self.name}.negatives: {self.negatives} is more than the bank's "
                f"{bank_size - 1} negatives; 1 to {bank_size - 1} are allowed"
            )
        return self.negatives


class LossGrid(Settings):
    """A loss in the study file; its runs are all pairs of its temperatures and the seeds."""

    temperature: tuple[Positive, ...] | None = None
    negatives: Count | None = None
    alpha: Annotated[Number, Field(gt=0, le=1)] | None = None
    literal_topk: bool = False
    module: str | None = None
    options: dict[str, Any] | None = None

    @field_validator("temperature", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, int | float | str) else value

    @field_validator("temperature")
    @classmethod
    def _distinct(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and not value:
            raise ValueError("at least one temperature is needed")
        if value is not None and (twice := first_repeated(value)) is not None:
            raise ValueError(f"{canonical(twice)} is listed twice")
        return value and tuple(sorted(value))


HARD_NEGATIVES = 4095
"""Default K of the hard losses (author)."""


LOSS_OPTIONS = ("negatives", "alpha", "literal_topk")


def check_loss(name: str, grid: LossGrid) -> None:
    """Refuse a loss that does not exist, or an option that it does not take.

    Args:
        name: What the study file calls it.
        grid: What the study file sets for it.

    Raises:
        ValueError: The message names the field.
    """
    if grid.module is None:
        if name not in (*LOSSES, *BASELINES):
            raise ValueError(
                f"losses.{name}: unknown loss{did_you_mean(name, LOSSES)}; known are "
                f"{', '.join((*LOSSES, *BASELINES))}, and any name with a module"
            )
        if name in TEMPERATURE_FREE and grid.temperature is not None:
            raise ValueError(f"losses.{name}.temperature: {name} has no temperature")
        if name not in TEMPERATURE_FREE and grid.temperature is None:
            raise ValueError(f"losses.{name}.temperature: at least one temperature is needed")
        if name not in HARD:
            for option in LOSS_OPTIONS:
                if getattr(grid, option):
                    raise ValueError(
                        f"losses.{name}.{option}: only the hard losses have this option"
                    )
        if grid.options:
            raise ValueError(f"losses.{name}.options: only a loss with a module takes options")
    for option in ("temperature", "negatives"):
        if option in (grid.options or {}):
            raise ValueError(
                f"losses.{name}.options.{option}: make() gets it as an argument of its own; set "
                f"losses.{name}.{option} instead"
            )
    if grid.negatives is not None and grid.alpha is not None:
        raise ValueError(f"losses.{name}.alpha: set either negatives or alpha, not both")
