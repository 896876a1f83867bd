"""The kept demo, exported, for the tests of exports: no training is needed."""

from __future__ import annotations

from pathlib import Path

from tausweep import study as studies
from tausweep.commands import export
from tausweep.report.artefact.people import Person
from tausweep.storage.layout import Layout

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "benchmarks/measured"
STUDY = ROOT / "benchmarks/demo.yaml"


def demo(output: Path, *authors: str, licence: str | None = None) -> Path:
    """Export the kept demo to a folder or an archive."""
    stated = export.Statement([Person.parse(author) for author in authors], licence)
    export.export(studies.load(STUDY), Layout(MEASURED), output, stated=stated)
    return output
