"""What the finished runs of a stage say: records, the images that they get right, both in time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tausweep.commands.choosing.answer import GEOMETRY
from tausweep.results import hints, records
from tausweep.results.choice import Outcome
from tausweep.storage.layout import File, Layout
from tausweep.study import ALONG, BASELINES, Run, Study, StudyError

MEASURE = "linear_accuracy_short"
"""What is compared half-way and at the end; it must be one of ``ALONG``."""
assert MEASURE in ALONG


@dataclass(frozen=True)
class Finished:
    """A run with a record.

    Attributes:
        run: It.
        folder: Its folder.
        columns: Of its record.
    """

    run: Run
    folder: Path
    columns: Mapping[str, Any]

    @property
    def complete(self) -> bool:
        """Whether it did not diverge."""
        return bool(self.columns["status"] == "complete")


def finished(study: Study, layout: Layout) -> list[Finished]:
    """The runs of a study that have a record with its settings."""
    found = []
    for run in study.runs():
        folder = layout.run(run)
        try:
            columns = records.read(folder / File.RECORD)["columns"]
        except (FileNotFoundError, StudyError):
            continue
        if columns["settings_digest"] == run.settings.digest:
            found.append(Finished(run, folder, columns))
    return found


def seeds_of_all(found: list[Finished], temperatures: tuple[float, ...]) -> list[int]:
    """The seeds that every one of these temperatures has."""
    of_tau = {
        tau: {f.run.seed for f in found if f.run.temperature == tau and f.complete}
        for tau in temperatures
    }
    return sorted(set.intersection(*of_tau.values())) if of_tau else []


def outcome(
    found: list[Finished], temperatures: tuple[float, ...], baselines: list[Finished]
) -> Outcome | None:
    """What the runs of some temperatures get right; none with fewer than two seeds of all.

    Args:
        found: Finished runs of one stage.
        temperatures: Ascending.
        baselines: Finished runs of the baselines, of any stage with the same data and seeds.
    """
    seeds = seeds_of_all(found, temperatures)
    if len(seeds) < 2 or len(temperatures) < 2:
        return None
    by_place = {(f.run.temperature, f.run.seed): f for f in found if f.complete}
    grid = [[by_place[tau, seed] for seed in seeds] for tau in temperatures]
    half, end = (
        np.array([[_along(f, at) for f in row] for row in grid], dtype=np.float64) for at in (0, -1)
    )
    known = bool(np.isfinite(half).all() and np.isfinite(end).all())
    return Outcome(
        temperatures,
        np.array([[_correct(f.folder) for f in row] for row in grid]),
        {
            name: np.array([_correct(f.folder) for f in own])
            for name in BASELINES
            if (own := [b for b in baselines if b.run.loss == name and b.complete])
        },
        half if known else None,
        end if known else None,
    )


def _correct(folder: Path) -> Any:
    from safetensors.numpy import load_file

    return load_file(folder / File.CORRECT)["linear"]


def _along(f: Finished, at: int) -> float:
    try:
        rows = json.loads((f.folder / File.ALONG).read_text(encoding="utf-8"))["rows"]
        return float(rows[at]["values"][MEASURE]) if len(rows) > 1 else float("nan")
    except (OSError, ValueError, KeyError, TypeError):
        return float("nan")


def means(
    found: list[Finished], temperatures: tuple[float, ...], seeds: list[int]
) -> dict[float, dict[str, float]]:
    """Means over seeds of ``GEOMETRY`` by temperature; NaN for what was not measured."""
    return {
        tau: {
            name: float(
                np.mean(
                    [
                        _value(f.columns.get(name))
                        for f in found
                        if f.run.temperature == tau and f.run.seed in seeds
                    ]
                )
            )
            for name in GEOMETRY
        }
        for tau in temperatures
    }


def _value(found: Any) -> float:
    return float("nan") if found is None else float(found)


def hint(of_temperatures: Mapping[float, Mapping[str, float]]) -> float:
    """The temperature that alignment, uniformity and RankMe together point to."""
    import pandas as pd

    return hints.picks(pd.DataFrame.from_dict(dict(of_temperatures), orient="index"))[
        hints.TOGETHER
    ]
