"""The report of a study: one self-contained page, made from the study's folder.

``build`` reads the tables, figures and verdicts, the records in the runs' folders and the collected
table, and writes ``report.html``. The page needs no network and no scripts. The same inputs give
the same bytes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from tausweep import __version__
from tausweep.claims import judging, study_verdicts
from tausweep.claims.verdicts import CLEARLY, OVERALL, Verdict
from tausweep.claims.verdicts import read as read_verdicts
from tausweep.report import protocol
from tausweep.report.figures import StudyResults
from tausweep.report.page import cautions, exhibits, runs, verdict_table
from tausweep.results import kept, labels, published
from tausweep.results.cells import printed
from tausweep.results.records import read_along
from tausweep.storage.atomic import write_text
from tausweep.storage.layout import File, Layout
from tausweep.study import Study

__all__ = ["build", "page"]


def build(
    study: Study,
    study_file: str,
    layout: Layout,
    records: pd.DataFrame,
    out: Path,
    partial: bool = False,
) -> str:
    """Write the report of a study.

    Args:
        study: The study.
        study_file: Its file, as a reader would give it to ``snakemake --configfile``.
        layout: Where results are.
        records: The collected table, or a partial one whose statuses may be missing, failed or
            stale (columns of ``records.csv``).
        out: Where to write. ``claims.json`` must be beside it. ``tables/*.html`` and
            ``figures/*.svg`` are read from there too; the page says which of them are missing.
        partial: Whether the study is unfinished, which the page then says at the top.

    Returns:
        The headline: one sentence.

    Raises:
        StudyError: ``claims.json`` is missing or cannot be read.
    """
    content, headline = page(study, study_file, layout, records, out.parent, partial)
    write_text(out, content)
    return headline


def page(
    study: Study,
    study_file: str,
    layout: Layout,
    records: pd.DataFrame,
    shown: Path,
    partial: bool = False,
) -> tuple[str, str]:
    """The report as HTML, and its headline.

    Args and errors as for ``build``; ``shown`` is the folder of ``claims.json``, ``tables`` and
    ``figures``.
    """
    commands = runs.Commands(study_file, layout, study.study)
    found = runs.gather(study, records, layout)
    asked = study_verdicts.asked_rows(study, records)
    departures = protocol.compare(study)
    beside = kept.beside(study, study_file, layout, records)
    along = read_along(shown / File.ALONG_TABLE)
    verdicts = verdict_table.arrange(
        read_verdicts(shown / File.CLAIMS_JSON),
        _published_verdicts(),
        len(study.seeds),
        departures.scaled_down is not None,
    )
    folder = layout.study(study.study)
    results = StudyResults(
        folder,
        asked,
        published.records(),
        exhibits.SCALED_DOWN if departures.scaled_down else None,
        study.uniformity_t,
        along=along,
    )
    table1, full = exhibits.table_fragment(shown, "table1"), exhibits.table_fragment(shown, "full")
    context: dict[str, Any] = {
        "version": __version__,
        "study": study,
        "partial": partial,
        "datasets": [labels.dataset(name) for name in labels.datasets_in_order(study.datasets)],
        "losses": [labels.loss(name) for name in labels.losses_in_order(study.losses)],
        "runs": found,
        "groups": runs.groups(found.rows),
        "unfinished": found.having("missing", "failed", "stale", "pretrained"),
        "cells": runs.cells,
        "key_columns": labels.MAIN_MEASURES,
        "further_columns": runs.FURTHER_COLUMNS,
        "commands": commands,
        "protocol": departures,
        "verdicts": verdicts,
        "certainty": verdict_table.certainty(found),
        "clearly": verdict_table.with_symbols(CLEARLY),
        "overall": OVERALL,
        "cautions": cautions.all_cautions(
            found, commands, departures.scaled_down, runs.strangers(study, records), beside
        ),
        "kept": beside,
        "versions": sorted({v for row in found.rows if (v := row.text("code_version"))}),
        "table1": table1,
        "full": full,
        "figures": exhibits.read_figures(results, shown),
        "label": lambda column: labels.measure(column).label,
        "number": _number,
        "tau": printed,
    }
    return _templates().get_template("report.html.j2").render(context), verdicts.headline


@cache
def _published_verdicts() -> list[Verdict]:
    return judging.judge(published.records(), run_noise=True)


def _number(column: str, value: float | None) -> str:
    """A number in print, with as many decimals as its measure has in the tables."""
    if value is None:
        return "—"
    digits = labels.measure(column).digits
    text = f"{value:.4g}" if digits is None else f"{value:.{digits}f}"
    return text.replace("-", "−")


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment
