"""A study's collected results for the figures: records, and the files of its runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep.report.figures.style import LossStyle, loss_style
from tausweep.results import labels
from tausweep.results.cells import Key, printed
from tausweep.storage.layout import Folder
from tausweep.study import BASELINES, canonical

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from tausweep.report.tables.cells import Cells, Measured


@dataclass(frozen=True)
class StudyResults:
    """The results of a study so far; any part may be missing.

    Attributes:
        folder: ``results/<study>``; the runs are under ``runs``.
        records: One row per run with the columns of ``records.csv``; temperature is NaN for losses
            without one.
        published: Published numbers (``tausweep.results.published``), or none.
        scaled_down: How the study is smaller than the paper's protocol; none if it is not.
        t: Uniformity's t in the records.
        classes: Names of each dataset's classes by label, if known.
        baselines: Records of the baselines, separate from ``records``.
        along: Measures along training (``records.read_along``), or none.
        by_class: What ``tausweep classes`` measured of each run, or none.
        hard_losses: The losses that are the hard contrastive one with a hard set of some size.
    """

    folder: Path
    records: pd.DataFrame
    published: pd.DataFrame | None = None
    scaled_down: str | None = None
    t: float = 2.0
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    baselines: pd.DataFrame | None = None
    along: pd.DataFrame | None = None
    by_class: Sequence[Mapping[str, Any]] | None = None
    hard_losses: Sequence[str] = ("hard_contrastive",)

    def of_losses(self) -> StudyResults:
        """The same with the baselines moved out of ``records``."""
        apart = self.records["loss"].isin(BASELINES)
        return replace(self, records=self.records[~apart], baselines=self.records[apart])

    def baseline_cells(self, dataset: str, column: str) -> list[Measured]:
        """The cells of baselines with numbers, in the order of print."""
        from tausweep.report.tables.cells import Cells

        if self.baselines is None:
            return []
        cells = Cells(self.baselines)
        found = [cells.cell(key, column) for key in cells.keys(dataset)]
        return [cell for cell in found if cell.summary.n]

    @cached_property
    def cells(self) -> Cells:
        """The records, cell by cell."""
        from tausweep.report.tables.cells import Cells

        return Cells(self.records, self.comparable)

    @cached_property
    def comparable(self) -> pd.DataFrame | None:
        """The published numbers that are comparable with the study's own."""
        from tausweep.report.tables import comparable

        return comparable(self.published, self.t)

    @property
    def datasets(self) -> list[str]:
        """Datasets in the paper's order, then any others by first appearance."""
        return self.cells.datasets

    @property
    def losses(self) -> list[str]:
        """Losses in the paper's order, then any others by name."""
        return self.cells.losses

    def look(self, loss: str) -> LossStyle:
        """Colour, marker, line and name of a loss, the same in every figure of the study."""
        return loss_style(loss, self.losses)

    def cell_line(self, dataset: str, loss: str, column: str) -> list[Measured]:
        """The cells of a loss on a dataset for one column, by ascending temperature."""
        return [self.cells.cell(key, column) for key in self.cells.keys(dataset, loss)]

    def temperatures(self, dataset: str, loss: str) -> list[float]:
        """Temperatures of a loss in the records with any status, ascending."""
        return self.cells.temperatures([loss], dataset)

    def grid(self, datasets: Iterable[str]) -> list[float]:
        """Temperatures of any loss on some datasets, ascending."""
        found = (self.temperatures(dataset, loss) for dataset in datasets for loss in self.losses)
        return sorted({temperature for each in found for temperature in each})

    def has(self, dataset: str, loss: str) -> bool:
        """Whether the records have any run of the loss on the dataset."""
        return bool(self.cells.keys(dataset, loss))

    def survivors(self, dataset: str, loss: str, temperature: float | None) -> bool:
        """Whether some of a cell's runs diverged, so that the shown ones are the survivors."""
        key = Key(dataset, loss, temperature)
        return bool(self.cells.seeds(key, "diverged") and self.cells.seeds(key, "complete"))

    def dagger(self, dataset: str, loss: str, temperature: float | None) -> str:
        """The mark of such a cell in tables, or an empty text."""
        return "†" if self.survivors(dataset, loss, temperature) else ""

    def gap(self, dataset: str, loss: str, temperature: float | None) -> str:
        """A note on a cell without a complete run; empty for any other."""
        key = Key(dataset, loss, temperature)
        if self.cells.seeds(key, "complete"):
            return ""
        return "diverged" if self.cells.seeds(key, "diverged") else "no complete run"

    def gaps(self, dataset: str, loss: str, temperatures: Iterable[float]) -> list[str]:
        """The temperatures of a loss without a complete run, one line per reason."""
        reasons: dict[str, list[str]] = {}
        known = self.temperatures(dataset, loss)
        for temperature in temperatures:
            reason = self.gap(dataset, loss, temperature) if temperature in known else ""
            if reason:
                reasons.setdefault(reason, []).append(printed(temperature))
        return [f"{reason}: τ = {', '.join(found)}" for reason, found in reasons.items()]

    def of_classes(
        self, dataset: str, loss: str, temperature: float | None
    ) -> list[Mapping[str, Any]]:
        """What ``tausweep classes`` measured of a cell's runs, by seed; empty if it was not."""
        wanted = (dataset, loss, temperature)
        return [
            run
            for run in self.by_class or ()
            if (run["dataset"], run["loss"], run["temperature"]) == wanted
        ]

    def run_folder(self, dataset: str, loss: str, temperature: float | None, seed: int) -> Path:
        """The folder of a run."""
        cell = Path(dataset, loss, canonical(temperature), f"seed{seed}")
        return self.folder / Folder.RUNS / cell

    def files(
        self,
        dataset: str,
        loss: str,
        temperature: float | None,
        name: str,
        status: str = "complete",
    ) -> list[Path]:
        """The existing files of this name in a cell's runs with this status, by seed."""
        seeds = self.cells.seeds(Key(dataset, loss, temperature), status)
        paths = [self.run_folder(dataset, loss, temperature, seed) / name for seed in seeds]
        return [path for path in paths if path.is_file()]

    def blocks(
        self, dataset: str, loss: str, temperature: float | None, name: str
    ) -> list[dict[str, Any]]:
        """The values of a cell's measure files of this name, by seed."""
        return [
            json.loads(path.read_text(encoding="utf-8"))["values"]
            for path in self.files(dataset, loss, temperature, name)
        ]


def tensors(path: Path, *wanted: str) -> list[np.ndarray]:
    """Tensors of a safetensors file by name, without torch."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return [file.get_tensor(name) for name in wanted]


def closest(wanted: float, temperatures: Sequence[float]) -> float:
    """The temperature closest in ratio to the wanted one.

    Raises:
        ValueError: There are no temperatures.
    """
    if not temperatures:
        raise ValueError("temperatures: none given; at least one is needed")
    return min(temperatures, key=lambda t: abs(math.log(t / wanted)))


def spread(temperatures: Sequence[float], at_most: int = 5) -> list[float]:
    """A few representative temperatures: the extremes and those closest to Table 1's."""
    if len(temperatures) <= at_most:
        return sorted(temperatures)
    chosen = {min(temperatures), max(temperatures)}
    for wanted in labels.TABLE1_TEMPERATURES:
        if len(chosen) < at_most:
            chosen.add(closest(wanted, temperatures))
    return sorted(chosen)
