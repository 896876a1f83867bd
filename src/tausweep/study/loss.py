"""The losses by name, and the settings of one of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from tausweep.study.canonical_form import canonical
from tausweep.study.errors import StudyError, did_you_mean, sentence
from tausweep.study.fields import Count, Number, Positive, Settings, first_repeated
from tausweep.study.loss_kinds import (
    EVERYWHERE,
    KEY_MOMENTUM,
    KINDS,
    PAPER,
    QUEUE,
    LossKind,
    NegativesFrom,
)

LOSSES = tuple(PAPER)
"""The paper's losses."""


HARD = frozenset(name for name, kind in PAPER.items() if kind.hard)


BASELINES = ("untrained", "raw_pixels")
"""Baselines, which every loss has to beat. ``untrained`` is the encoder with its initial weights
(and batch norm statistics from one epoch of views), ``raw_pixels`` no encoder at all. They have no
measures of bank and loss."""


TEMPERATURE_FREE = frozenset({"simple", "hard_simple", "nearest_negative", *BASELINES})


Bound = tuple[Number | None, Number | None]
"""Lowest and highest value of a parameter; none means no bound."""


class LossSettings(Settings):
    """The loss of a run.

    Attributes:
        name: What the study calls it: a shipped loss, a baseline, or a free name with a ``kind`` or
            a ``module``.
        kind: The shipped loss that a free name stands for.
        temperature: tau; none for the losses without one.
        negatives: Size K of the hard set (author: 4095).
        alpha: The hard set as a share of the negatives instead of K (Eq. 9).
        literal_topk: The author's variant, in which the positive counts as part of the hard set.
        negatives_from: ``bank``, ``queue`` or ``batch``; none is the bank.
        queue: Length of the queue.
        key_momentum: m of the momentum encoder, k <- m k + (1 - m) q.
        views: 2 if an own loss sees a second view without a queue or the batch's negatives.
        supervised: Whether an own loss sees labels.
        lr: Learning rate of the loss's own parameters; none is the encoder's.
        clamp: Bounds of an own loss's parameters by name.
        module: A Python file with ``make(temperature, negatives, **options)``.
        module_digest: Digest of that file's code: a changed loss is a different loss.
        options: Options of a shipped loss, or passed to that ``make``.
    """

    name: str
    kind: str | None = None
    temperature: Positive | None = None
    negatives: Count | None = None
    alpha: Annotated[Number, Field(gt=0, le=1)] | None = None
    literal_topk: Literal[True] | None = None
    negatives_from: NegativesFrom | None = None
    queue: Count | None = None
    key_momentum: Annotated[Number, Field(ge=0, le=1)] | None = None
    views: Literal[2] | None = None
    supervised: Literal[True] | None = None
    lr: Positive | None = None
    clamp: dict[str, Bound] | None = None
    module: str | None = None
    module_digest: str | None = None
    options: dict[str, Any] | None = None

    @property
    def shipped(self) -> str | None:
        """Name of the shipped loss; none for an own one and for the baselines."""
        name = self.kind or self.name
        return name if self.module is None and name in KINDS else None

    @property
    def source(self) -> NegativesFrom:
        """Where the negatives come from."""
        return self.negatives_from or "bank"

    @property
    def view_count(self) -> int:
        """Views of each instance in a step: 1 or 2."""
        return 2 if self.views == 2 or self.source != "bank" else 1

    @property
    def sees_labels(self) -> bool:
        """Whether the loss is supervised."""
        kind = KINDS[self.shipped] if self.shipped else LossKind()
        return bool(self.supervised) or kind.supervised

    def check_source(self, bank_size: int, batch_size: int) -> None:
        """Refuse a queue or a hard set that does not fit the data.

        Args:
            bank_size: N, training images.
            batch_size: B, instances of a batch.

        Raises:
            StudyError: K is more than the negatives, or the queue is shorter than a batch or has
                more keys than there are images.
        """
        self.hard_set_size(bank_size)
        if self.source == "bank":
            return
        batch = min(batch_size, bank_size)
        if self.queue is not None and not batch <= self.queue <= bank_size:
            raise StudyError(
                f"losses.{self.name}.queue: {self.queue} is not allowed; it is {batch}, a batch, "
                f"to {bank_size}, the number of training images"
            )
        there = self.negative_count(bank_size, batch)
        if self.negatives is not None and self.negatives > there:
            raise StudyError(
                f"losses.{self.name}.negatives: {self.negatives} is more than the {self.source}'s "
                f"{there} negatives; allowed is 1 to {there}"
            )

    def negative_count(self, bank_size: int, batch_size: int) -> int:
        """Negatives of an anchor: N - 1 in the bank, Q in the queue, 2 B - 2 in a batch."""
        if self.source == "bank":
            return bank_size - 1
        return self.queue if self.queue is not None else 2 * batch_size - 2

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
    """A loss in the study file; its runs are all pairs of its temperatures and the seeds.

    Attributes:
        kind: The shipped loss that a free name stands for.
        temperature: tau, one or several; none for the losses without one.
        negatives: Size K of the hard set; for an own loss, passed to its make().
        alpha: The hard set as a share of the negatives instead of K.
        literal_topk: The author's variant of the hard losses.
        negatives_from: The memory bank (default), a queue by a momentum encoder (MoCo), or both
            views of the batch (SimCLR).
        queue: Length of the queue, 4096 by default.
        key_momentum: m of the momentum encoder, 0.99 by default.
        views: 2 shows an own loss a second view of each instance.
        supervised: Whether an own loss sees labels.
        lr: Learning rate of the loss's own parameters; the encoder's by default.
        clamp: Bounds of an own loss's parameters by name, [lowest, highest].
        module: A Python file with make(temperature, negatives, **options).
        options: Options of a shipped loss, or passed to make().
    """

    kind: str | None = None
    temperature: tuple[Positive, ...] | None = None
    negatives: Count | None = None
    alpha: Annotated[Number, Field(gt=0, le=1)] | None = None
    literal_topk: bool = False
    negatives_from: NegativesFrom | None = None
    queue: Count | None = None
    key_momentum: Annotated[Number, Field(ge=0, le=1)] | None = None
    views: Literal[1, 2] = 1
    supervised: bool = False
    lr: Positive | None = None
    clamp: dict[str, Bound] | None = None
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


OF_A_MODULE = ("views", "supervised", "clamp")
OF_A_QUEUE = ("queue", "key_momentum")


def check_loss(name: str, grid: LossGrid) -> None:
    """Refuse a loss that does not exist, or an option that it does not take.

    Args:
        name: What the study file calls it.
        grid: What the study file sets for it.

    Raises:
        ValueError: The message names the field.
    """
    if grid.module is None:
        _check_shipped(name, grid)
    else:
        _check_own(name, grid)
    if grid.negatives is not None and grid.alpha is not None:
        raise ValueError(f"losses.{name}.alpha: set either negatives or alpha, not both")
    source = negatives_from(name, grid)
    if source != "queue":
        for option in OF_A_QUEUE:
            if getattr(grid, option) is not None:
                raise ValueError(
                    f"losses.{name}.{option}: only a loss with `negatives_from: queue` has one"
                )


def _check_own(name: str, grid: LossGrid) -> None:
    if grid.kind is not None:
        raise ValueError(f"losses.{name}.kind: a loss with a module has none")
    for option in ("temperature", "negatives"):
        if option in (grid.options or {}):
            raise ValueError(
                f"losses.{name}.options.{option}: make() gets it as an argument of its own; set "
                f"losses.{name}.{option} instead"
            )
    for parameter, (low, high) in (grid.clamp or {}).items():
        if low is not None and high is not None and low > high:
            raise ValueError(f"losses.{name}.clamp.{parameter}: the lower bound comes first")


def _check_shipped(name: str, grid: LossGrid) -> None:
    called = grid.kind or name
    if grid.kind is not None:
        if grid.kind not in KINDS:
            raise ValueError(
                f"losses.{name}.kind: unknown loss {grid.kind}{did_you_mean(grid.kind, KINDS)}; "
                f"known are {', '.join(KINDS)}"
            )
        if name in (*KINDS, *BASELINES) and name != grid.kind:
            raise ValueError(f"losses.{name}.kind: {name} is a loss of its own; take another name")
    elif name not in (*KINDS, *BASELINES):
        raise ValueError(
            f"losses.{name}: unknown loss{did_you_mean(name, KINDS)}; known are "
            f"{', '.join((*KINDS, *BASELINES))}, and any name with a kind or a module"
        )
    kind = KINDS.get(called, LossKind(temperature=False))
    if not kind.temperature and grid.temperature is not None:
        raise ValueError(f"losses.{name}.temperature: {called} has no temperature")
    if kind.temperature and grid.temperature is None:
        raise ValueError(f"losses.{name}.temperature: at least one temperature is needed")
    if not kind.hard:
        for option in LOSS_OPTIONS:
            if getattr(grid, option):
                raise ValueError(f"losses.{name}.{option}: only the hard losses have this option")
    for option in OF_A_MODULE:
        if option in grid.model_fields_set:
            raise ValueError(f"losses.{name}.{option}: only a loss with a module has one")
    if grid.lr is not None and not kind.parameters:
        raise ValueError(f"losses.{name}.lr: {called} has no parameters to be trained")
    _check_source(name, called, kind, grid)
    if kind.options is None:
        if grid.options:
            raise ValueError(f"losses.{name}.options: {called} has none")
        return
    try:
        kind.options.model_validate(grid.options or {})
    except ValidationError as error:
        said = sentence(error, kind.options, {})
        raise ValueError(f"losses.{name}.options.{said}") from None


def _check_source(name: str, called: str, kind: LossKind, grid: LossGrid) -> None:
    wanted = grid.negatives_from
    if wanted is None:
        return
    if name in BASELINES:
        raise ValueError(f"losses.{name}.negatives_from: {name} has no negatives")
    if wanted not in kind.negatives_from:
        raise ValueError(
            f"losses.{name}.negatives_from: {wanted} is not allowed; {called} takes "
            f"{' or '.join(kind.negatives_from)}"
        )
    if grid.literal_topk and wanted != "bank":
        raise ValueError(f"losses.{name}.literal_topk: it is for negatives from the bank alone")


def negatives_from(name: str, grid: LossGrid) -> NegativesFrom:
    """Where the negatives of a loss in a study file come from."""
    kind = KINDS.get(grid.kind or name)
    allowed = kind.negatives_from if kind and grid.module is None else EVERYWHERE
    return grid.negatives_from or allowed[0]


def resolved(name: str, grid: LossGrid) -> dict[str, Any]:
    """A loss's settings for a run with defaults filled in, without temperature and hard set.

    Settings that have the paper's value are left out, so that the digests of finished runs stay as
    they are.
    """
    source = negatives_from(name, grid)
    kind = KINDS.get(grid.kind or name) if grid.module is None else None
    options = grid.options or None
    if kind is not None and kind.options is not None:
        options = kind.options.model_validate(grid.options or {}).model_dump(mode="json")
    queued = source == "queue"
    return {
        "name": name,
        "kind": grid.kind if grid.kind != name else None,
        "module": grid.module,
        "options": options,
        "negatives_from": source if source != "bank" else None,
        "queue": (grid.queue or QUEUE) if queued else None,
        "key_momentum": KEY_MOMENTUM if queued and grid.key_momentum is None else grid.key_momentum,
        "views": 2 if grid.views == 2 else None,
        "supervised": grid.supervised or None,
        "lr": grid.lr,
        "clamp": grid.clamp or None,
    }
