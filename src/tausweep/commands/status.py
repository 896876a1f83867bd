"""The state of a study: what is done, running, failed, stale or missing; disk use.

Everything is read from the results folder; nothing is computed, and torch is not imported.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tausweep import study as studies
from tausweep.commands import flags, job_log
from tausweep.commands.json_document import print_document
from tausweep.data.manifest import manifest
from tausweep.results import records
from tausweep.storage import provenance
from tausweep.storage.layout import File, Layout, measure_file
from tausweep.storage.run_lock import held_by
from tausweep.study import MEASURES, Run, Study, StudyError

STATES = ("complete", "diverged", "running", "failed", "stale", "pretrained", "missing")
"""``diverged`` is a result too. ``stale`` has a record of other settings or data. ``pretrained``
finished training but has no record, though some measures may exist. A record made by other code
than today's counts like any other and is also listed."""

LAST_LINES = 3
MOST_LISTED = 20
"""How many runs of a state are listed; the others are only counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)
    flags.add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    asked, layout = studies.load(options.study), Layout(Path(options.results))
    if options.json:
        print_document("status", values(asked, layout))
    else:
        print(describe(asked, layout))


@dataclass(frozen=True)
class RunState:
    """The state of one run.

    Attributes:
        run: The run.
        state: One of ``STATES``.
        detail: In words: progress, why it is stale, which other code made it, where it resumes.
        columns: The columns of its record, even if stale; those that exist for a pretrained run;
            none for any other.
        log: The log of its failure.
        lines: Last lines of that log.
        other_code: Whether other code than today's made its record.
    """

    run: Run
    state: str
    detail: str = ""
    columns: dict[str, Any] | None = None
    log: Path | None = None
    lines: tuple[str, ...] = ()
    other_code: bool = False

    @property
    def collapsed(self) -> bool:
        """Whether it is complete but all its embeddings are one point (``geometry.collapsed``)."""
        return self.state == "complete" and bool((self.columns or {}).get("collapsed"))


def states(study: Study, layout: Layout) -> list[RunState]:
    """The state of every run, in the study's order."""
    return [_state(run, layout) for run in study.runs()]


def _state(run: Run, layout: Layout) -> RunState:
    folder = layout.run(run)
    logs = [layout.log(run, stage) for stage in ("pretrain", "evaluate")]
    newest = max((log for log in logs if log.exists()), key=_time, default=None)
    said = job_log.read(newest) if newest else ""
    if holder := held_by(folder):
        where = f"process {holder['pid']} on {holder['host']}"
        return RunState(run, "running", f"{job_log.progress(said) or 'started'}  ({where})")
    try:
        columns = records.read(folder / File.RECORD)["columns"]
    except FileNotFoundError:
        columns = None
    except StudyError as error:
        return RunState(run, "failed", log=folder / File.RECORD, lines=(str(error),))
    if columns is not None:
        reasons, code = stale_reasons(columns, run, layout), other_code(columns)
        said = "; ".join([*reasons, *code])
        state = "stale" if reasons else columns["status"]
        return RunState(run, state, said, columns, other_code=bool(code))
    if newest is not None and job_log.failed(said):
        lines = job_log.last_lines(said, LAST_LINES)
        return RunState(run, "failed", log=newest, lines=lines)
    if any((at / File.CHECKPOINT).exists() for at in (folder, layout.trained(run))):
        at = job_log.progress(said).split("  ")[0]
        return RunState(run, "missing", f"interrupted{f' after {at}' if at else ''}, resumes there")
    if (found := _pretrained(run, layout)) is not None:
        return found
    if (layout.evaluated(run) / File.STORED).exists():
        return RunState(run, "missing", "another study has it: the next start takes it")
    return RunState(run, "missing")


def _pretrained(run: Run, layout: Layout) -> RunState | None:
    """The state of a run that finished training but has no record; none if it did not finish."""
    folder = layout.run(run)
    described = _json(folder / File.PRETRAIN)
    if described.get("settings_digest") != run.settings.pretrain_digest:
        return None
    names = (*MEASURES, *(run.settings.measures or {}))
    measured = {
        name: content["values"]
        for name in names
        if "values" in (content := _json(folder / measure_file(name)))
    }
    try:
        columns = records.so_far(run, measured, described)
    except (KeyError, TypeError, AttributeError):
        return None  # damaged, so it will be made again
    parts = ["not fully evaluated" if measured else "not evaluated"]
    if measured:
        parts.append(f"has {', '.join(measured)}")
    if not (folder / File.ENCODER).exists():
        stored = (layout.trained(run) / File.STORED).exists()
        then = "the store has them" if stored else "so it would be trained again"
        parts.append(f"its weights are missing, {then}")
    return RunState(run, "pretrained", "; ".join(parts), columns)


def _json(path: Path) -> dict[str, Any]:
    """A JSON mapping; empty if the file is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _time(path: Path) -> float:
    return path.stat().st_mtime


def stale_reasons(columns: dict[str, Any], run: Run, layout: Layout) -> list[str]:
    """Why a record does not match today's study and data; empty if it does."""
    reasons = []
    if columns["settings_digest"] != run.settings.digest:
        reasons.append("other settings")
    made = manifest(run.settings.dataset, layout)
    if made is not None and made.get("digest") != columns["data_digest"]:
        reasons.append("other data")
    return reasons


def other_code(columns: dict[str, Any]) -> list[str]:
    """Which other code than today's made a record, by stage; empty if today's did."""
    reasons = []
    theirs = str(columns["code_version"]).split("-")
    for stage, version in zip(("pretrain", "evaluate"), theirs, strict=False):
        if version != _code(stage):
            reasons.append(f"other code of {stage} ({version}, now {_code(stage)})")
    return reasons


@cache
def _code(stage: str) -> str:
    return provenance.code_version(stage)


def disk(study: Study, layout: Layout) -> dict[str, int]:
    """Bytes on disk by kind: weights, embeddings, checkpoints, prepared data, everything else."""
    used: Counter[str] = Counter()
    kinds = {"encoder": "encoders", "embeddings": "embeddings", "checkpoint": "checkpoints"}
    for path, size in files(layout.study(study.study)):
        tensors = path.suffix == ".safetensors"
        kind = kinds.get(re.split(r"[.-]", path.name)[0], "other")
        used[kind if tensors else "other"] += size
    for dataset in {run.settings.dataset for run in study.runs()}:
        used["prepared data"] += sum(size for _, size in files(layout.prepared(dataset)))
    return dict(used)


def files(folder: Path) -> list[tuple[Path, int]]:
    """All files at any depth with their sizes, except those that vanish meanwhile."""
    found = []
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file():
                found.append((path, path.stat().st_size))
        except FileNotFoundError:
            continue
    return found


def size(count: float) -> str:
    """A number of bytes in words: ``1.2 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def describe(study: Study, layout: Layout) -> str:
    """The state of a study as text: counts, then each state's runs, then disk use."""
    if not layout.root.is_dir():
        return (
            f"study {study.study}: {len(study.runs())} runs; there is no folder "
            f"{layout.root}/ in {Path.cwd()}: nothing was started here, or the results are "
            "elsewhere (--results DIR)"
        )
    found = states(study, layout)
    counts = Counter(state.state for state in found)
    counted = ", ".join(f"{counts[name]} {name}" for name in STATES if counts[name])
    lines = [f"study {study.study}: {len(found)} runs: {counted}"]
    if collapsed := [state for state in found if state.collapsed]:
        lines += [
            "",
            "collapsed: complete, but all test embeddings are one point",
            *_listed(collapsed),
        ]
    if other := [s for s in found if s.other_code and s.state in ("complete", "diverged")]:
        lines += [
            "",
            "made by other code: included in tables and verdicts, which name them",
            *_listed(other),
            *(f"  {line}" for line in _redoing(other, layout)),
        ]
    for name in STATES[1:]:
        of_state = [state for state in found if state.state == name]
        if name == "diverged":
            of_state = [state for state in of_state if not state.other_code]
        if of_state:
            lines += ["", name, *_listed(of_state)]
        if name == "stale":
            lines += [f"  {line}" for line in _redoing(of_state, layout)]
    used = disk(study, layout)
    parts = ", ".join(f"{kind} {size(used[kind])}" for kind in sorted(used) if used[kind])
    return "\n".join([*lines, "", f"disk: {size(sum(used.values()))}{f': {parts}' * bool(parts)}"])


def values(study: Study, layout: Layout) -> dict[str, Any]:
    """The state of a study, ready for JSON (docs/commands.md)."""
    found = states(study, layout)
    counts = Counter(state.state for state in found)
    return {
        "study": study.study,
        "results": str(layout.study(study.study)),
        "counts": {name: counts[name] for name in STATES},
        "runs": [
            {
                "run": state.run.id,
                "state": state.state,
                "detail": state.detail or None,
                "collapsed": state.collapsed,
                "other_code": state.other_code,
                "log": str(state.log) if state.log else None,
                "log_lines": list(state.lines),
            }
            for state in found
        ],
        "disk_bytes": disk(study, layout),
    }


def _redoing(found: list[RunState], layout: Layout) -> list[str]:
    """The shortest commands that redo stale records and records made by other code."""
    planned = [s for s in found if s.state == "stale"]
    other = [s for s in found if s.state != "stale"]
    trained = [s for s in other if "other code of pretrain" in s.detail]
    measured = [s for s in other if s not in trained]
    lines = []
    if planned:
        lines.append("snakemake --configfile STUDY redoes runs with other settings or data")
    for of_stage, name in ((trained, File.PRETRAIN), (measured, File.RECORD)):
        if of_stage:
            path = layout.run(of_stage[0].run) / name
            lines.append(f"to redo one: snakemake --configfile STUDY --forcerun {path}")
    return lines


def _listed(found: list[RunState]) -> list[str]:
    lines = []
    for state in found[:MOST_LISTED]:
        about = f"  {state.detail}" if state.detail else ""
        lines.append(f"  {state.run.id}{about}{f'  {state.log}' if state.log else ''}")
        lines += [f"      {line}" for line in state.lines]
    if len(found) > MOST_LISTED:
        lines.append(f"  and {len(found) - MOST_LISTED} more")
    return lines
