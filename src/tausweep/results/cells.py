"""Cells: one loss at one temperature on one dataset, with the runs of its seeds.

Everything that reads a table of records by cell uses this module. A loss without a temperature has
``None`` in Python, an empty field in a CSV file and ``none`` in a path (``study.canonical``).
Temperatures have one spelling everywhere: 0.10 is ``0.1``, 1 is ``1.0``.

pandas is imported inside functions, because Snakemake often imports this module for the names of
figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tausweep.study import canonical

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

KEY_COLUMNS = ["dataset", "loss", "temperature"]


class Key(NamedTuple):
    """The name of a cell.

    Attributes:
        dataset: As in the study file.
        loss: As in the study file.
        temperature: None for a loss without one.
    """

    dataset: str
    loss: str
    temperature: float | None


def temperature_of(value: Any) -> float | None:
    """The temperature in a field of a table; None if the field is empty or NaN."""
    if value is None or value == "" or math.isnan(float(value)):
        return None
    return float(value)


def printed(temperature: float | None) -> str:
    """A temperature in print and in CSV files; empty for a loss without one."""
    return "" if temperature is None else canonical(temperature)


def run_key(row: Mapping[Any, Any]) -> tuple[Key, int]:
    """The cell and the seed of a row of a table."""
    key = Key(str(row["dataset"]), str(row["loss"]), temperature_of(row["temperature"]))
    return key, int(row["seed"])


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell and its runs, ordered by seed.

    Attributes:
        key: Its name.
        table: The whole table of records.
        rows: Positions of the cell's runs in the table.
    """

    key: Key
    table: pd.DataFrame
    rows: NDArray[np.intp]

    @property
    def all_seeds(self) -> NDArray[np.int64]:
        """The seed of each run."""
        return self.table["seed"].to_numpy()[self.rows]

    @property
    def status(self) -> NDArray[np.object_]:
        """The status of each run."""
        return self.table["status"].to_numpy(object)[self.rows]

    def seeds(self, status: str) -> list[int]:
        """Seeds of the runs with this status."""
        return [int(seed) for seed in self.all_seeds[self.status == status]]

    def values(self, column: str) -> pd.Series[float]:
        """The finite numbers of complete runs in a column, by seed; empty if it does not exist."""
        import numpy as np
        import pandas as pd

        if column not in self.table.columns:
            return pd.Series(dtype=float)
        complete = self.rows[self.status == "complete"]
        numbers = pd.to_numeric(self.table[column].iloc[complete]).to_numpy(np.float64)
        seeds = self.table["seed"].to_numpy()[complete]
        known = np.isfinite(numbers)
        return pd.Series(numbers[known], pd.Index(seeds[known].astype(np.int64), name="seed"))

    def text(self, column: str) -> str:
        """The text of a column if there is exactly one complete run, else empty."""
        complete = self.rows[self.status == "complete"]
        if column not in self.table.columns or len(complete) != 1:
            return ""
        text = self.table[column].iloc[complete[0]]
        return text if isinstance(text, str) else ""

    @property
    def collapsed(self) -> int:
        """Number of complete runs whose embeddings are all one point."""
        return int((self.values("collapsed") == 1).sum())

    def other_code(self, code: str) -> int:
        """Number of complete runs with another version of the code than this one."""
        if "code_version" not in self.table.columns:
            return 0
        complete = self.rows[self.status == "complete"]
        made = self.table["code_version"].iloc[complete].dropna()
        return int((made != code).sum())

    @property
    def unfinished(self) -> int:
        """Number of runs that are neither complete nor diverged."""
        return sum(status not in ("complete", "diverged") for status in self.status)

    @staticmethod
    def empty(key: Key) -> Cell:
        """A cell without records."""
        import numpy as np
        import pandas as pd

        table = pd.DataFrame(columns=[*KEY_COLUMNS, "seed", "status"])
        return Cell(key, table, np.array([], dtype=np.intp))


def cells_of(records: pd.DataFrame) -> dict[Key, Cell]:
    """The cells of a table of records, in the order of their first row."""
    import numpy as np

    codes = records.groupby(KEY_COLUMNS, dropna=False, sort=False).ngroup().to_numpy()
    order = np.lexsort([records["seed"].to_numpy(), codes])
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    found = {}
    for rows in np.split(order, starts[1:]) if len(order) else []:
        key, _ = run_key(records.iloc[rows[0]])
        found[key] = Cell(key, records, rows)
    return found
