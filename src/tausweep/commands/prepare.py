"""`tausweep prepare`: convert the images of a source to the prepared format."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep import study as studies
from tausweep.commands import flags
from tausweep.commands.messages import say
from tausweep.data import measurable
from tausweep.storage.layout import File, Layout
from tausweep.study import Run, StudyError

if TYPE_CHECKING:
    from tausweep.data.prepared import Prepared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)
    parser.add_argument(
        "--only", metavar="NAME", help="of these, the one that goes to results/data/NAME"
    )
    flags.add_threads(parser, "decoding threads")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    prepare(options.study, options.only, Path(options.results), options.threads, say)


def prepare(
    study: str, only: str | None, results: Path, threads: int, say: Callable[[str], None]
) -> None:
    """Make the prepared data of a study.

    Args:
        study: Its file.
        only: The name of the one folder below ``results/data`` to make; none makes all.
        results: The results folder.
        threads: Number of threads that decode.
        say: Receives a message for each folder.

    Raises:
        StudyError: The source is missing or wrong, a measure could not be computed on it, or a
            run's settings do not fit it.
    """
    if threads < 1:
        raise StudyError(f"--threads: {threads} is not allowed; it should be 1 or more")
    asked, layout = studies.load(study), Layout(results)
    wanted: dict[Path, list[Run]] = {}
    for run in asked.runs():
        wanted.setdefault(layout.prepared(run.settings.dataset), []).append(run)
    names = sorted(folder.name for folder in wanted)
    if only not in (None, *names):
        raise StudyError(
            f"--only {only}: no data of the study {asked.study} are prepared there; they go to "
            f"{', '.join(names)}"
        )
    for folder, runs in sorted(wanted.items()):
        if only in (None, folder.name):
            manifest = _made(runs, folder, threads)
            sizes = ", ".join(f"{s['images']:,} {name}" for name, s in manifest["splits"].items())
            say(f"{folder}: {len(manifest['classes'])} classes, {sizes} images")


def _made(runs: Sequence[Run], folder: Path, threads: int) -> dict[str, Any]:
    """Make the prepared data of runs, if the data suit the runs."""
    from tausweep import data as datasets

    dataset = runs[0].settings.dataset
    with measurable.of(runs):
        return datasets.prepare(
            dataset, folder, threads, lambda counts: measurable.check(counts, runs)
        )


def prepared_data(runs: Sequence[Run], results: Path) -> Prepared:
    """Open the prepared data of runs, make it first if needed, and check that it suits the runs.

    Args:
        runs: One or more runs of the same dataset.
        results: The results folder.

    Raises:
        StudyError: It cannot be made, a measure could not be computed on it, or a run's settings do
            not fit the number of images.
    """
    from tausweep import data as datasets

    folder = Layout(results).prepared(runs[0].settings.dataset)
    if not (folder / File.MANIFEST).exists():
        # Deleted to save space; the workflow does not make it again for finished runs.
        _made(runs, folder, 1)
    data = datasets.load(folder)
    with measurable.of(runs):
        measurable.check(measurable.images_per_class(data.manifest), runs)
    return data
