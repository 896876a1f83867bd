"""A study: its datasets, losses, seeds and overrides, and the runs that result."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from tausweep.study.errors import StudyError, did_you_mean, sentence
from tausweep.study.fields import Count, Name, Number, Positive, Seed, Settings, first_repeated
from tausweep.study.figures import FigureSettings
from tausweep.study.loss import (
    BASELINES,
    HARD_NEGATIVES,
    LOSS_OPTIONS,
    LOSSES,
    LossGrid,
    check_loss,
    resolved,
)
from tausweep.study.loss_kinds import KINDS
from tausweep.study.paths import expanded
from tausweep.study.protocol import OF_THE_RUN, PROTOCOL, SECTIONS
from tausweep.study.run import Run, RunSettings
from tausweep.study.syntax import syntax_digest


class DatasetEntry(Settings):
    """A dataset in the study file: its preparation, and views that differ from the protocol's."""

    source: dict[str, Any] | None = None
    image_size: Any = None
    form: Any = None
    train_limit: Any = None
    test_limit: Any = None
    subset_seed: Any = None
    validation: Any = None
    views: dict[str, Any] = Field(default_factory=dict)


class Sections(Settings):
    """Settings of runs by their section; what is not given stays as it was."""

    views: dict[str, Any] = Field(default_factory=dict)
    encoder: dict[str, Any] = Field(default_factory=dict)
    pretrain: dict[str, Any] = Field(default_factory=dict)
    linear: dict[str, Any] = Field(default_factory=dict)
    knn: dict[str, Any] = Field(default_factory=dict)
    geometry: dict[str, Any] = Field(default_factory=dict)
    separation: dict[str, Any] = Field(default_factory=dict)

    @field_validator("views", *SECTIONS[1:], mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        # `pretrain:` with nothing behind it is YAML's null; the user meant "nothing given".
        return {} if value is None else value


class Override(Sections):
    """Settings for only the runs of a dataset, a loss, a temperature, or a combination of these."""

    dataset: str | None = None
    loss: str | None = None
    temperature: Positive | None = None
    negatives: Count | None = None
    alpha: Annotated[Number, Field(gt=0, le=1)] | None = None
    literal_topk: bool | None = None

    def matches(self, dataset: str, loss: str, temperature: float | None) -> bool:
        """Whether the override applies to this cell."""
        return (
            self.dataset in (None, dataset)
            and self.loss in (None, loss)
            and self.temperature in (None, temperature)
        )


RESERVED_FILES = frozenset(
    {
        *("linear", "knn", "geometry", "separation", "penalty", "along"),
        *("settings", "pretrain", "record", "lock"),
    }
)
"""Names of JSON files in a run's folder."""


RESERVED_STUDIES = frozenset({"data", "logs", "store", "workflow"})
"""Folders in ``results`` or in an export that are not studies."""


class Study(Sections):
    """A study file, validated. ``Study.runs()`` gives its runs, fully resolved.

    The baselines run beside the losses, because a loss that does not beat them has learnt nothing.
    ``baselines: false`` leaves out those that ``losses`` does not name. ``order`` names runs to do
    first when time is short (see ``tausweep fill``). ``evaluate_at`` lists shares of the epochs
    after which a run is also measured (see ``tausweep.measures.along``). The end is always one of
    them, named or not. By default the list is empty.

    Examples:
        >>> from tausweep.study import load
        >>> study = load("benchmarks/demo.yaml")
        >>> study.study, study.seeds, list(study.datasets)
        ('demo', (0, 1, 2), ['translated_digits'])
    """

    study: Name
    seeds: tuple[Seed, ...] = (0, 1, 2)
    datasets: dict[Name, DatasetEntry]
    losses: dict[Name, LossGrid]
    measures: dict[Name, str] = Field(default_factory=dict)
    evaluate_at: tuple[Annotated[Number, Field(gt=0, le=1)], ...] | None = None
    figures: FigureSettings = FigureSettings()
    overrides: tuple[Override, ...] = ()
    baselines: bool = True
    order: tuple[str, ...] = ()

    @field_validator("datasets", "losses", "overrides", mode="before")
    @classmethod
    def _empty_is_default(cls, value: Any) -> Any:
        # An empty `simple:` is null in YAML; the user means "all defaults".
        if isinstance(value, Mapping):
            return {k: {} if v is None else v for k, v in value.items()}
        return {} if value is None else value

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value:
            raise ValueError("at least one seed is needed")
        if (twice := first_repeated(value)) is not None:
            raise ValueError(f"seed {twice} is listed twice")
        return tuple(sorted(value))

    @field_validator("evaluate_at")
    @classmethod
    def _up_to_the_end(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is None:
            return None
        if not value:
            raise ValueError("at least one share is needed")
        if any(b <= a for a, b in itertools.pairwise(value)):
            raise ValueError("the shares must increase")
        # Earlier epochs are compared with the end, whose weights are kept anyway.
        return value if value[-1] == 1 else (*value, 1.0)

    @field_validator("datasets", "losses")
    @classmethod
    def _some(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            raise ValueError("at least one is needed")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        for name, grid in self.losses.items():
            check_loss(name, grid)
        for measure in self.measures:
            if measure in RESERVED_FILES:
                raise ValueError(f"measures.{measure}: this name is reserved; choose another one")
        if self.study in RESERVED_STUDIES:
            raise ValueError(
                f"study: {self.study} is reserved for a folder of results; choose another"
            )
        for i, override in enumerate(self.overrides):
            cells = [c for c in self._cells() if override.matches(*c)]
            if not cells:
                chosen = override.model_dump(
                    include={"dataset", "loss", "temperature"}, exclude_none=True
                )
                raise ValueError(f"overrides[{i}]: no run has {chosen or 'these settings'}")
        return self

    def _cells(self) -> Iterator[tuple[str, str, float | None]]:
        for dataset in self.datasets:
            for loss, grid in self._asked().items():
                for temperature in grid.temperature or (None,):
                    yield dataset, loss, temperature

    def _asked(self) -> dict[str, LossGrid]:
        """The losses, followed by the baselines that are not among them."""
        lacking = [name for name in BASELINES if self.baselines and name not in self.losses]
        return self.losses | {name: LossGrid() for name in lacking}

    def resolve(self, dataset: str, loss: str, temperature: float | None, seed: int) -> RunSettings:
        """The settings of one run with every default filled in.

        Later ones win: the models' defaults, the protocol of the dataset's kind, the study's
        sections, the dataset's own settings, the overrides in their order.

        Raises:
            StudyError: A value is not allowed; the message names the field and the value.
        """
        entry, grid = self.datasets[dataset], self._asked()[loss]
        preparation = entry.model_dump(exclude={"views"}, exclude_none=True)
        source = preparation.setdefault("source", {})
        if dataset in PROTOCOL and dataset not in ("folder", "plugin"):
            source.setdefault("kind", dataset)
        if preparation.get("subset_seed") == OF_THE_RUN:
            if entry.train_limit is None:
                raise StudyError(
                    f"datasets.{dataset}.subset_seed: run gives each seed its own training images, "
                    "which needs a train_limit"
                )
            preparation |= {"subset_seed": seed, "test_subset_seed": 0}
        layers: list[Mapping[str, Any]] = [
            PROTOCOL.get(str(source.get("kind")), {}),
            {name: getattr(self, name) for name in SECTIONS},
            {"dataset": preparation, "views": entry.views},
        ]
        layers += [
            o.model_dump(include=set(SECTIONS), exclude_none=True)
            for o in self.overrides
            if o.matches(dataset, loss, temperature)
        ]
        merged: dict[str, Any] = {name: {} for name in ("dataset", *SECTIONS)}
        for layer in layers:
            for section, values in layer.items():
                merged[section].update(values)
        merged["loss"] = self._loss(loss, grid, dataset, temperature)
        merged["seed"] = seed
        merged["evaluate_at"] = self.evaluate_at
        merged["measures"] = dict(sorted(self.measures.items())) or None
        merged["measure_digests"] = {
            name: module_digest(module, f"measures.{name}")
            for name, module in self.measures.items()
        } or None
        try:
            settings = RunSettings.model_validate(merged)
            return settings.as_baseline() if loss in BASELINES else settings
        except ValidationError as error:
            context = {"dataset": f"datasets.{dataset}", "loss": f"losses.{loss}"}
            if "views" in entry.model_fields_set:
                context["views"] = f"datasets.{dataset}.views"
            raise StudyError(sentence(error, RunSettings, context)) from None

    def _loss(
        self, name: str, grid: LossGrid, dataset: str, temperature: float | None
    ) -> dict[str, Any]:
        loss: dict[str, Any] = {option: getattr(grid, option) or None for option in LOSS_OPTIONS}
        shipped = KINDS.get(grid.kind or name) if grid.module is None else None
        hard = shipped is not None and shipped.hard
        for override in self.overrides:
            takes = hard or grid.module is not None
            if takes and override.matches(dataset, name, temperature):
                given = override.model_dump(include=set(LOSS_OPTIONS), exclude_none=True)
                if given.keys() & {"negatives", "alpha"}:
                    loss |= {"negatives": None, "alpha": None}
                loss |= given
        if hard and loss["negatives"] is None and loss["alpha"] is None:
            loss["negatives"] = HARD_NEGATIVES
        if grid.module is not None:
            loss["module_digest"] = module_digest(grid.module, f"losses.{name}.module")
        return (
            loss
            | resolved(name, grid)
            | {
                "temperature": temperature,
                "literal_topk": loss["literal_topk"] or None,
            }
        )

    def runs(self) -> list[Run]:
        """All runs, in the order of the study file: dataset, loss, temperature, seed.

        Raises:
            StudyError: See ``resolve``.
        """
        return [
            Run(self.study, dataset, self.resolve(dataset, loss, temperature, seed))
            for dataset, loss, temperature in self._cells()
            for seed in self.seeds
        ]

    def by_worth(self) -> list[Run]:
        """All runs: first those that ``order`` names, in its order, then the rest as in ``runs``.

        Raises:
            StudyError: ``order`` names a run that the study does not have.
        """
        runs = {run.id: run for run in self.runs()}
        for wanted in self.order:
            if wanted not in runs:
                raise StudyError(
                    f"order: the study {self.study} has no run {wanted}{did_you_mean(wanted, runs)}"
                )
        return [runs[name] for name in dict.fromkeys([*self.order, *runs])]

    @property
    def uniformity_t(self) -> float:
        """Uniformity's t, for captions and for comparison with numbers published at t = 2."""
        return self.runs()[0].settings.geometry.t

    def canonical_json(self) -> str:
        """The study as one line of JSON, independent of the order and spelling of its file.

        ``figures`` and ``order`` are left out, because they change nothing that is measured.
        """
        given = self.model_dump(mode="json", exclude_defaults=True, exclude={"figures", "order"})
        given = json.loads(json.dumps(given, sort_keys=True))
        for section, known in (("datasets", [*PROTOCOL]), ("losses", [*LOSSES, *BASELINES])):
            place = {name: i for i, name in enumerate(known)}
            ordered = sorted(given[section], key=lambda name: (place.get(name, len(place)), name))
            given[section] = {name: given[section][name] for name in ordered}
        return json.dumps(given, ensure_ascii=False)


def module_digest(module: str, field: str) -> str:
    """Digest of the code in a user's own file."""
    try:
        return syntax_digest(expanded(module, field).read_text(encoding="utf-8"))[:16]
    except (OSError, UnicodeDecodeError):
        raise StudyError(f"{field}: there is no file {module}; a Python file is needed") from None
    except SyntaxError as error:
        raise StudyError(f"{field}: {module}, line {error.lineno}: {error.msg}") from None
    except StudyError:
        raise
    # Code with zero bytes, or nested too deeply.
    except (ValueError, RecursionError, MemoryError) as error:
        raise StudyError(f"{field}: {module} is not allowed: {error}") from None
