"""`tausweep redo`: measure a few runs of a study again, and compare them with its kept records."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep.commands import flags
from tausweep.storage.layout import File, Layout
from tausweep.study import Run, Study, StudyError

if TYPE_CHECKING:
    from tausweep.results.kept import Beside

DIFFERENT = 1
"""Exit code if a number differs, or if nothing could be compared."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    parser.add_argument(
        "--run", dest="pattern", required=True, metavar="PATTERN",
        help="which runs, as DATASET/LOSS/TAU/seedK; * stands for any part",
    )  # fmt: skip
    parser.add_argument(
        "--again", action="store_true", help="train them even if they are in results/ already"
    )
    flags.add_cores(parser)


def run(options: argparse.Namespace) -> int:
    """Train, measure and compare; returns 0 if every number is the same, else 1.

    Raises:
        StudyError: No run matches, none of them is kept, or the kept ones used other instructions;
            nothing was started.
    """
    from tausweep import study as studies
    from tausweep.commands import run as whole_study

    asked, layout = studies.load(options.study), Layout()
    chosen = matching(asked, options.pattern)
    rows = kept_rows(asked, options.study, chosen)
    check_instructions(chosen, rows)
    print(announced(rows), flush=True)
    passed_on = ["selected", "--config", f"select={options.pattern}"]
    if options.again:
        passed_on += ["--forcerun", *(str(layout.run(one) / File.PRETRAIN) for one in chosen)]
    made = argparse.Namespace(study=options.study, cores=options.cores, passed_on=passed_on)
    if code := whole_study.run(made):
        return code
    found = compared(asked, options.study, layout, {one.id for one in chosen})
    print("\n".join(said(found)))
    return 0 if found.runs == len(chosen) and not found.differences else DIFFERENT


def matching(study: Study, pattern: str) -> list[Run]:
    """The runs that a pattern of `--config select` means, in the study's order.

    Raises:
        StudyError: There is none.
    """
    patterns = pattern.split(",")
    found = [run for run in study.runs() if any(fnmatch(run.id, one) for one in patterns)]
    if not found:
        raise StudyError(
            f"--run {pattern}: no run of the study {study.study} matches; runs are named "
            f"DATASET/LOSS/TAU/seedK, as in {study.runs()[0].id}"
        )
    return found


def kept_rows(study: Study, study_file: str, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The kept row of each run, as columns of ``records.csv``.

    Raises:
        StudyError: One of them is not kept.
    """
    from tausweep.results import kept, records
    from tausweep.results.cells import Key, run_key

    folder = kept.folder_of(study_file, study)
    table = kept.table_in(folder)
    if table is None:
        raise StudyError(f"study {study.study}: no records of it are kept in {folder}")
    by_run = {
        run_key(row): {str(name): value for name, value in row.items()}
        for row in records.read_table(table).to_dict("records")
        if row["status"] in kept.MADE
    }
    found = []
    for run in runs:
        row = by_run.get((Key(run.dataset, run.loss, run.temperature), run.seed))
        if row is None:
            raise StudyError(f"--run {run.id}: there is no record of it in {table}")
        found.append(row)
    return found


def check_instructions(runs: Sequence[Run], rows: Sequence[dict[str, Any]]) -> None:
    """Refuse a comparison whose numbers would differ by the CPU's instructions alone.

    Raises:
        StudyError: The kept runs are in the CPU's own instructions, and these would be portable, or
            the reverse.
    """
    from tausweep.machine import instructions
    from tausweep.study.columns import INSTRUCTIONS

    now = instructions.of_float32()
    for run, row in zip(runs, rows, strict=True):
        # Records that are older than portable mode do not name one.
        then = row[INSTRUCTIONS] if isinstance(row[INSTRUCTIONS], str) else instructions.NATIVE
        # Runs in bf16 use the CPU's own whatever is asked for.
        if run.settings.pretrain.precision == "bf16" or then == now:
            continue
        if then == instructions.NATIVE:
            raise StudyError(
                f"{run.id}: its kept record used the CPU's own instructions; set "
                f"{instructions.VARIABLE}={then} to do the same, and expect equal numbers on a "
                "similar CPU alone"
            )
        why = instructions.lacking() or f"{instructions.VARIABLE} is {now}"
        raise StudyError(
            f"{run.id}: its kept record used portable instructions, and here {why}; the numbers "
            "would differ"
        )


def announced(rows: Sequence[dict[str, Any]]) -> str:
    """What is about to be done, and how long the kept runs took."""
    seconds = sum(float(row["pretrain_seconds"]) for row in rows)
    took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    count = f"{len(rows)} run{'s' * (len(rows) != 1)}"
    return f"{count} to redo; the kept training took {took} of one core, and measuring comes on top"


def compared(study: Study, study_file: str, layout: Layout, runs: set[str]) -> Beside:
    """These runs beside their kept records.

    Raises:
        StudyError: The kept table is no table of records.
    """
    import pandas as pd

    from tausweep.commands import partial
    from tausweep.results import kept
    from tausweep.results.cells import run_key

    wanted = {
        run_key({"dataset": run.dataset, "loss": run.loss,
                 "temperature": run.temperature, "seed": run.seed})
        for run in study.runs() if run.id in runs
    }  # fmt: skip
    rows = [row for row in partial.rows(study, layout) if run_key(row) in wanted]
    found = kept.beside(study, study_file, layout, pd.DataFrame(rows))
    if found is None:
        raise StudyError(f"{layout.root}: is the folder of the kept records themselves")
    return found


def said(found: Beside) -> list[str]:
    """The comparison in lines, of which the first begins with ``equal`` if everything is."""
    word = "equal" if found.runs and not found.differences and not found.left_out else "not equal"
    return [
        f"{word}: {found.headline}, compared with {Path(found.folder)}",
        *(f"  {line}" for line in found.lines()),
    ]
