"""`tausweep classes`: how penalty and tolerance fall on the classes, from kept embeddings.

It trains nothing and changes no record. It reads the embeddings of finished runs and writes
``classes.json``, ``classes.csv`` (one row per run) and two figures into the study's folder.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tausweep.commands import flags
from tausweep.commands.collected import Collected
from tausweep.storage.atomic import write_json, write_text
from tausweep.storage.layout import File, Folder, Layout
from tausweep.study import BASELINES, Run, Study, StudyError, canonical

ANCHORS = 256
"""As many as for the penalties in the records."""

ON_THE_BANK = ("contrastive", "hard_contrastive")
"""The losses whose penalty on the bank's negatives is that of Eq. 5."""

IDENTITY = ("study", "dataset", "loss", "temperature", "seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        StudyError: No finished run of the study has its embeddings.
    """
    collected = of_finished_runs(options.study, Path(options.results))
    measured, lacking = measure(collected.study, collected.layout)
    write(collected, measured)
    whole = len(measured) + lacking
    print(
        f"{len(measured)} of {whole} runs of losses measured{_why(lacking)}; written: "
        f"{collected.folder / File.CLASSES_TABLE}"
    )


def _why(lacking: int) -> str:
    return f" ({lacking} unfinished or without embeddings)" if lacking else ""


def of_finished_runs(study_file: str, results: Path) -> Collected:
    """The study's collected records; of an unfinished one, a partial table that is made here.

    Raises:
        StudyError: The study is not valid.
    """
    from tausweep.commands import partial

    whole = Collected.of(study_file, results)
    if (whole.folder / File.RECORDS).is_file():
        return whole
    part = Collected.of(study_file, results, partial=True)
    partial.collect(part.study, part.layout, part.folder / File.RECORDS)
    return part


def measure(study: Study, layout: Layout) -> tuple[list[dict[str, Any]], int]:
    """Measure every finished run of a loss that has its embeddings.

    Returns:
        What was measured, in the study's order, and how many runs could not be.

    Raises:
        StudyError: None could be.
    """
    from tausweep.commands import partial

    statuses = [row["status"] for row in partial.rows(study, layout)]
    found, lacking = [], 0
    for one, status in zip(study.runs(), statuses, strict=True):
        if one.loss in BASELINES:
            continue
        embedded = layout.run(one) / File.EMBEDDINGS
        if status == "complete" and embedded.is_file():
            found.append(_of_run(one, embedded))
        else:
            lacking += 1
    if not found:
        raise StudyError(
            f"study {study.study}: no finished run has its {File.EMBEDDINGS} in "
            f"{layout.study(study.study)}"
        )
    return found, lacking


def _of_run(one: Run, embedded: Path) -> dict[str, Any]:
    from tausweep.measures import same_class
    from tausweep.training.checkpoints import DamagedFileError, load_tensors
    from tausweep.views import rendering

    try:
        tensors, _ = load_tensors(embedded)
    except DamagedFileError as error:
        raise StudyError(str(error)) from None
    bank, labels = tensors["bank"], tensors["train_labels"]
    order = rendering.order(len(bank), one.settings.seed, one.settings.pretrain.epochs)
    index = order[:ANCHORS]
    loss = one.settings.loss
    known = loss.shipped in ON_THE_BANK and loss.source == "bank"
    count = int(max(labels.max(), tensors["test_labels"].max())) + 1
    tolerance = same_class.tolerance_by_class(tensors["test"], tensors["test_labels"], count)
    return {
        "dataset": one.dataset,
        "loss": one.loss,
        "temperature": one.temperature,
        "seed": one.seed,
        **same_class.measure(
            tensors["train"][index],
            bank,
            index,
            labels,
            one.temperature if known else None,
            loss.hard_set_size(len(bank)) if known else None,
        ),
        "tolerance_by_class": [None if math.isnan(v) else v for v in tolerance.tolist()],
    }


def write(collected: Collected, measured: Sequence[Mapping[str, Any]]) -> None:
    """Write the files of this command into the study's folder.

    Args:
        collected: The study's collected records.
        measured: See ``measure``.
    """
    from tausweep.report import figures
    from tausweep.storage.provenance import code_version

    content = {"code_version": code_version("classes"), "runs": list(measured)}
    write_json(collected.folder / File.CLASSES, content)
    write_text(collected.folder / File.CLASSES_TABLE, table(collected.study.study, measured))
    for name in figures.OF_CLASSES:
        paths = [collected.folder / Folder.FIGURES / f"{name}.{kind}" for kind in figures.FORMATS]
        figures.draw(name, collected.results, paths, collected.study.figures.model_dump())


def table(study: str, measured: Sequence[Mapping[str, Any]]) -> str:
    """One row per run as CSV: the shares along the grid and at its own temperature, by class.

    Numbers are in the shortest form that reads back exactly.
    """
    rows = []
    for found in measured:
        tau = found["temperature"]
        row = {name: found.get(name, study) for name in IDENTITY}
        row["temperature"] = "" if tau is None else canonical(tau)
        row |= {name: found[name] for name in ("anchors", "by_chance", "share")}
        for at, share in zip(found["temperatures"], found["shares"], strict=True):
            row[f"share_at_{canonical(at)}"] = share
        for label, value in enumerate(found["tolerance_by_class"]):
            row[f"tolerance_of_class_{label}"] = value
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
