"""Published numbers in the shape of our records, so that the same code can judge both.

The files are ``benchmarks/published/*.csv`` (``tausweep.storage.shipped`` finds them). Every row
names its source.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tausweep.storage import shipped

TABLE1 = "wang_liu_2021_table1.csv"
AUTHOR_SWEEP = "author_sweep.csv"
OTHERS = "long_tailed_simclr.csv"
"""Sweeps over temperature that neither the paper nor its author made."""
STUDY = "published"
CELL = ["dataset", "loss", "temperature"]
PRINTED_MEASURES = ("accuracy", "uniformity", "tolerance")


def folder() -> Path:
    """The folder of the published files.

    Raises:
        FileNotFoundError: The package was installed without them.
    """
    return shipped.path("benchmarks/published")


def load(name: str) -> pd.DataFrame:
    """One published file: dataset, loss, temperature, accuracy (percent), ..., source."""
    return pd.read_csv(folder() / name, keep_default_na=False, na_values=[""])


def printed_column(column: str) -> str:
    """The name of the column with a measure's published text."""
    return f"{column}_printed"


def records() -> pd.DataFrame:
    """Table 1 and the author's sweep merged, one row per cell, with columns of ``records.csv``.

    A cell that both files have is taken once, with Table 1's geometry. ``study`` is ``published``;
    the author set no seed and printed single runs, so ``seed`` is 0 throughout and n is 1. Columns
    of which nothing was published are not there; uniformity and tolerance are NaN where only the
    sweep has the cell. ``printed_column(column)`` has each number as text with its source's
    decimals (0.380 is not 0.38 in print); empty where the number is NaN.

    Raises:
        ValueError: The two files give one cell different accuracies.
    """
    both = pd.concat([_with_text(TABLE1), _with_text(AUTHOR_SWEEP)], ignore_index=True)
    accuracies = both.groupby(CELL, dropna=False)["accuracy"].nunique()
    if (accuracies > 1).any():
        raise ValueError(f"published accuracies differ at {accuracies.idxmax()}")
    merged = both.drop_duplicates(CELL, keep="first").rename(
        columns={
            "accuracy": "linear_accuracy",
            printed_column("accuracy"): printed_column("linear_accuracy"),
        }
    )
    merged = merged.sort_values(CELL, na_position="last", ignore_index=True)
    front = pd.DataFrame({"study": STUDY, "seed": 0, "status": "complete"}, index=merged.index)
    measures = ["linear_accuracy", "uniformity", "tolerance"]
    texts = [printed_column(name) for name in measures]
    merged[texts] = merged[texts].fillna("")
    columns = ["study", *CELL, "seed", "status", *measures, "source", *texts]
    return pd.concat([front, merged], axis=1)[columns]


def of_others() -> pd.DataFrame:
    """Sweeps of others, one row per cell, with those columns of ``records.csv`` that they have.

    They have only accuracies of single runs. ``source`` and ``caveat`` say where they are from and
    how far they can be trusted. They are never compared with our records, because no study has
    their datasets.
    """
    rows = load(OTHERS).rename(columns={"accuracy": "linear_accuracy"})
    return rows.assign(study="published_others", seed=0, status="complete")


def _with_text(name: str) -> pd.DataFrame:
    """A published file, with a column for the printed text of every measure."""
    table = load(name)
    text = pd.read_csv(folder() / name, dtype=str, keep_default_na=False, na_values=[""])
    for measure in PRINTED_MEASURES:
        if measure in table:
            table[printed_column(measure)] = text[measure]
    return table
