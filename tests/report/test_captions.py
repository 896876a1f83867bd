"""Captions of Snakemake's own report."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest

from tausweep.report import figures

# A GPU machine has not got it.
publish_parts = pytest.importorskip("docutils.core").publish_parts

CAPTIONS = Path(__file__).parents[2] / "workflow" / "report"


@pytest.mark.parametrize("name", [*figures.NAMES, "table1", "full", "claims", "report", "workflow"])
def test_every_result_has_a_caption_that_renders(name: str) -> None:
    job = SimpleNamespace(config={"study": "demo"}, wildcards=SimpleNamespace(study="demo"))
    text = (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    rendered = environment.from_string(text).render(snakemake=job)
    options = {"halt_level": 2, "report_level": 2}
    parts = publish_parts(rendered, writer="html", settings_overrides=options)
    assert len(parts["body"]) > 60


def test_no_caption_is_of_nothing() -> None:
    known = {*figures.NAMES, "table1", "full", "claims", "report", "workflow"}
    assert {path.stem for path in CAPTIONS.glob("*.rst")} == known
