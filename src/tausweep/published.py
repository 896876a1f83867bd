"""Numbers of others in the shape of our records, so that the same code can judge both.

The files are ``benchmarks/published/*.csv``. A wheel carries them as ``tausweep/_published`` (see
``force-include`` in pyproject.toml); an editable install reads them where they are in the
repository. Every row names its source.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

TABLE1 = "wang_liu_2021_table1.csv"
AUTHOR_SWEEP = "author_sweep.csv"
STUDY = "published"
CELL = ["dataset", "loss", "temperature"]


def folder() -> Path:
    """Folder of the published files.

    Raises:
        FileNotFoundError: The package was installed without them.
    """
    here = Path(__file__).resolve()
    shipped, repository = here.with_name("_published"), here.parents[2] / "benchmarks" / "published"
    for place in (shipped, repository):
        if (place / TABLE1).is_file():
            return place
    raise FileNotFoundError(f"the published numbers stand neither in {shipped} nor in {repository}")


def load(name: str) -> pd.DataFrame:
    """One published file as it is: dataset, loss, temperature, accuracy (percent), ..., source."""
    return pd.read_csv(folder() / name)


def records() -> pd.DataFrame:
    """Table 1 and the author's sweep merged, one row a cell, with the columns of ``records.csv``.

    A cell that both files have is taken once, with Table 1's geometry. ``study`` is ``published``;
    the author set no seed and printed single runs, so ``seed`` is 0 throughout and n is 1. Columns
    of which nothing was published are not there; uniformity and tolerance are NaN where only the
    sweep has the cell.

    Raises:
        ValueError: The two files give one cell different accuracies.
    """
    both = pd.concat([load(TABLE1), load(AUTHOR_SWEEP)], ignore_index=True)
    accuracies = both.groupby(CELL, dropna=False)["accuracy"].nunique()
    if (accuracies > 1).any():
        raise ValueError(f"published accuracies differ at {accuracies.idxmax()}")
    merged = both.drop_duplicates(CELL, keep="first").rename(
        columns={"accuracy": "linear_accuracy"}
    )
    merged = merged.sort_values(CELL, na_position="last", ignore_index=True)
    front = pd.DataFrame({"study": STUDY, "seed": 0, "status": "complete"}, index=merged.index)
    columns = ["study", *CELL, "seed", "status", "linear_accuracy", "uniformity", "tolerance"]
    return pd.concat([front, merged], axis=1)[[*columns, "source"]]
