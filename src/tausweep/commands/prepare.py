"""`tausweep prepare`: convert the images of a source to the prepared format."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep import study as studies
from tausweep.commands import flags
from tausweep.commands.messages import say
from tausweep.data import measurable
from tausweep.storage.layout import File, Layout
from tausweep.study import DatasetSettings, Run, StudyError

if TYPE_CHECKING:
    from tausweep.data.prepared import Prepared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_results(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "study", nargs="?", metavar="STUDY", help="a study file; all its datasets are prepared"
    )
    what.add_argument("--settings", metavar="JSON", help="one dataset's resolved settings")
    flags.add_threads(parser, "decoding threads")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    prepare(options.study, options.settings, Path(options.results), options.threads, say)


def prepare(
    study: str | None, settings: str | None, results: Path, threads: int, say: Callable[[str], None]
) -> None:
    """Make prepared data for all datasets of a study, or for one dataset's settings (JSON).

    Raises:
        StudyError: The source is missing or wrong; see ``tausweep.data``.
    """
    from tausweep import data as datasets

    if threads < 1:
        raise StudyError(f"--threads: {threads} is not allowed; it should be 1 or more")
    runs: list[Run] = []
    if study is not None:
        runs = studies.load(study).runs()
        wanted = {run.settings.dataset for run in runs}
    else:
        try:
            content = json.loads(settings or "{}")
        except ValueError as error:
            raise StudyError(f"--settings: it is not JSON: {error}") from None
        wanted = {studies.parse_settings(DatasetSettings, content)}
    for dataset in sorted(wanted, key=lambda d: str(Layout(results).prepared(d))):
        folder = Layout(results).prepared(dataset)
        manifest = datasets.prepare(dataset, folder, threads)
        sizes = ", ".join(f"{s['images']:,} {name}" for name, s in manifest["splits"].items())
        say(f"{folder}: {len(manifest['classes'])} classes, {sizes} images")
        here = [run for run in runs if run.settings.dataset == dataset]
        _check_measurable(here[0].dataset if here else dataset.source.kind, manifest, here)


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

    dataset = runs[0].settings.dataset
    folder = Layout(results).prepared(dataset)
    if not (folder / File.MANIFEST).exists():
        # Deleted to save space; the workflow does not make it again for finished runs.
        datasets.prepare(dataset, folder, 1)
    data = datasets.load(folder)
    _check_measurable(runs[0].dataset, data.manifest, runs)
    return data


def _check_measurable(name: str, manifest: Mapping[str, Any], runs: Iterable[Run]) -> None:
    counts = measurable.per_class(manifest)
    measurable.check(name, counts["train"], counts["test"])
    measurable.check_size((run.settings for run in runs), manifest["splits"]["train"]["images"])
