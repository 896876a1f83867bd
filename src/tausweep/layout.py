"""Where things lie below ``results/``; the same for Snakemake and for every command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tausweep.study import DatasetSettings, Run, digest


@dataclass(frozen=True)
class Layout:
    """Paths of results.

    Attributes:
        root: The results folder.
    """

    root: Path = Path("results")

    def study(self, study: str) -> Path:
        """Folder of a study."""
        return self.root / study

    def run(self, run: Run) -> Path:
        """Folder of a run."""
        return self.study(run.study) / "runs" / run.id

    def prepared(self, settings: DatasetSettings) -> Path:
        """Folder of prepared data: shared by all that name the same source and preparation."""
        return self.root / "data" / prepared_name(settings)


def prepared_name(settings: DatasetSettings) -> str:
    """``<kind>-<digest of source and preparation>``."""
    return f"{settings.source.kind}-{digest(settings.preparation_json())}"
