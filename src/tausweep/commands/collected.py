"""A study's collected records, for the commands that make tables, figures and verdicts."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep import study as studies
from tausweep.data.manifest import manifest
from tausweep.results import records
from tausweep.storage.layout import File, Folder, Layout
from tausweep.study import Study, StudyError

if TYPE_CHECKING:
    from tausweep.report.figures import StudyResults


@dataclass(frozen=True)
class Collected:
    """A study's collected records, and the folder for what is made from them.

    The folder is ``results/<study>/``, or ``results/<study>/partial/`` for the partial table of an
    unfinished study, so that the two are never confused.

    Attributes:
        study: The study.
        study_file: Its file.
        layout: Where results are.
        partial: Whether the study is unfinished.
    """

    study: Study
    study_file: str
    layout: Layout
    partial: bool = False

    @staticmethod
    def of(study_file: str, results: Path, *, partial: bool = False) -> Collected:
        """The collected records of a study file.

        Raises:
            StudyError: The study is not valid.
        """
        return Collected(studies.load(study_file), study_file, Layout(results), partial)

    @staticmethod
    def asked(options: argparse.Namespace) -> Collected:
        """The collected records of a command's study.

        Raises:
            StudyError: The study is not valid.
        """
        return Collected.of(options.study, Path(options.results))

    @property
    def folder(self) -> Path:
        """Where tables, figures, verdicts and the report go."""
        folder = self.layout.study(self.study.study)
        return folder / Folder.PARTIAL if self.partial else folder

    @cached_property
    def results(self) -> StudyResults:
        """The inputs of the tables, figures and verdicts.

        Raises:
            StudyError: The records are not collected.
        """
        from tausweep.report import figures, protocol
        from tausweep.results import published

        return figures.StudyResults(
            self.layout.study(self.study.study),
            records.read_table(self.folder / File.RECORDS),
            published.records(),
            protocol.scaled_down(self.study),
            self.study.uniformity_t,
            classes=self._classes(),
            along=records.read_along(self.folder / File.ALONG_TABLE),
            by_class=self._by_class(),
            hard_losses=figures.hard_losses(self.study),
        )

    def _by_class(self) -> list[dict[str, Any]] | None:
        """What ``tausweep classes`` measured; none if it was not called.

        Raises:
            StudyError: Its file is damaged.
        """
        path = self.folder / File.CLASSES
        try:
            runs: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["runs"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise StudyError(f"{path}: is damaged; `tausweep classes` makes it again") from None
        return runs

    def _classes(self) -> dict[str, list[str]]:
        datasets = {run.dataset: run.settings.dataset for run in self.study.runs()}
        made = {name: manifest(settings, self.layout) for name, settings in datasets.items()}
        return {name: found.get("classes", []) for name, found in made.items() if found}
