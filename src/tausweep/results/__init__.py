"""Records, cells, intervals; published numbers in the same shape.

For a notebook: ``read`` gives a study's collected records as a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read"]


def read(path: str | Path) -> pd.DataFrame:
    """The collected records of a study, ``results/<study>/records.csv``, one row per run.

    Raises:
        StudyError: There is no such table, or it is damaged.

    Examples:
        >>> from tausweep.results import read
        >>> records = read("benchmarks/measured/demo/records.csv")
        >>> records.groupby("loss")["linear_accuracy"].mean().idxmax()
        'hard_contrastive'
    """
    from tausweep.results.records import read_table

    return read_table(Path(path))
