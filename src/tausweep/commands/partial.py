"""`tausweep partial`: a table and a report of a study's results so far, marked partial.

It trains and evaluates nothing.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from tausweep.commands import flags
from tausweep.commands.claims import write_claims
from tausweep.commands.collect import write_along
from tausweep.commands.collected import Collected
from tausweep.commands.figures import write_figures
from tausweep.commands.report import write_report
from tausweep.commands.status import RunState, other_code, states
from tausweep.commands.tables import write_tables
from tausweep.results import records
from tausweep.storage.atomic import write_text
from tausweep.storage.layout import File, Layout
from tausweep.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    print(partial(options.study, Path(options.results)))


def rows(study: Study, layout: Layout) -> list[dict[str, Any]]:
    """One row per run of the study, in its order, with whatever exists.

    ``status`` is ``complete``, ``diverged``, ``stale`` (numbers of other settings or data),
    ``pretrained`` (has no record, but may have some numbers), ``failed``, or ``missing`` (including
    running ones). The last two have no numbers. Records made by other code than today's count as
    complete; ``code_version`` names the code.
    """
    return [_row(state) for state in states(study, layout)]


def _row(state: RunState) -> dict[str, Any]:
    run = state.run
    if state.columns is not None and state.state != "running":
        return {**state.columns, "status": state.state}
    return {
        "study": run.study,
        "dataset": run.dataset,
        "loss": run.loss,
        "temperature": run.temperature,
        "seed": run.seed,
        "status": "failed" if state.state == "failed" else "missing",
    }


def coverage(found: list[dict[str, Any]]) -> str:
    """What a partial table covers: ``partial: 63 of 112 runs; 4 failed, 45 missing``.

    If other code than today's made some of the records, it says how many.
    """
    counts = Counter(row["status"] for row in found)
    done = counts.pop("complete", 0) + counts.get("diverged", 0)
    rest = ", ".join(f"{counts[name]} {name}" for name in sorted(counts))
    word = "whole" if done == len(found) else "partial"
    other = sum(
        row["status"] in ("complete", "diverged") and bool(other_code(row)) for row in found
    )
    by = f" ({other} made by other code than today's)" if other else ""
    return f"{word}: {done} of {len(found)} runs{by}{f'; {rest}' if rest else ''}"


def collect(study: Study, layout: Layout, output: Path) -> str:
    """Write the rows as a table of records, and return its coverage in words."""
    found = rows(study, layout)
    write_text(output, records.table(found))
    return coverage(found)


def partial(study_file: str, results: Path) -> str:
    """Make tables, figures, verdicts and a report from a study's results so far.

    Returns:
        What the partial table covers, in words, and the path of the report.

    Raises:
        StudyError: The study is not valid.
    """
    collected = Collected.of(study_file, results, partial=True)
    table = collected.folder / File.RECORDS
    covered = collect(collected.study, collected.layout, table)
    statuses = records.read_table(table)["status"]
    write_along(collected.study, collected.layout, statuses, table.parent / File.ALONG_TABLE)
    write_tables(collected)
    write_figures(collected)
    write_claims(collected)
    write_report(collected)
    return f"{covered}\nreport: {collected.folder / File.REPORT}"
