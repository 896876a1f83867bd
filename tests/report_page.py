"""Report pages of synthetic studies, and their text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import frames
from tausweep.claims import judging, study_verdicts
from tausweep.report import figures, page, tables
from tausweep.results import published
from tausweep.storage import provenance
from tausweep.storage.layout import Layout
from tausweep.study import Study, canonical, parse

TAUS = (0.07, 0.3, 0.7, 1.0)

LOSSES: dict[str, Any] = {
    "contrastive": {"temperature": list(TAUS)},
    "hard_contrastive": {"temperature": list(TAUS)},
    "simple": {},
    "hard_simple": {},
}


def study_of(seeds: Sequence[int] = (0, 1, 2), **sections: Any) -> Study:
    content = {"study": "synthetic", "seeds": list(seeds), "datasets": {"cifar10": {}}}
    return parse(content | {"losses": LOSSES, "baselines": False} | sections)


def records_of(study: Study) -> pd.DataFrame:
    """Records that the study's runs could have made today, all complete."""
    frame = frames.records(tuple(study.datasets), TAUS, tuple(LOSSES), study.seeds)
    runs = {(r.dataset, r.loss, canonical(r.temperature), r.seed): r for r in study.runs()}
    keys = [
        (row["dataset"], row["loss"], canonical(None if math.isnan(tau) else tau), row["seed"])
        for row in frames.named_rows(frame)
        for tau in [row["temperature"]]
    ]
    frame["settings_digest"] = [runs[key].settings.digest for key in keys]
    frame["code_version"] = "-".join(map(provenance.code_version, ("pretrain", "evaluate")))
    return frame


def make_exhibits(folder: Path, frame: pd.DataFrame) -> None:
    for place in ("tables", "figures"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    for make in (tables.table1, tables.full):
        table = make(frame, published.records())
        text = table.text("html")
        (folder / "tables" / f"{table.name}.html").write_text(text, encoding="utf-8")
    for name in figures.NAMES:
        drawn = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 5"><text>{name}</text></svg>'
        )
        (folder / "figures" / f"{name}.svg").write_text(drawn, encoding="utf-8")


def write_record(folder: Path, run_id: str, **changes: Any) -> None:
    """A record with provenance, as `evaluate` writes one."""
    made = {
        "command": f"tausweep pretrain study.yaml --run {run_id}",
        "commit": "0" * 40,
        "started": "2026-01-02T03:04:05+00:00",
        "ended": "2026-01-02T03:14:05+00:00",
        "hardware": {"device": "cpu", "cpu": "A CPU", "threads": 1},
        "packages": {"torch": "2.14.1", "numpy": "2.4.6"},
        "python": "3.11.7",
    } | changes
    columns = dict.fromkeys(("study", "dataset", "loss", "temperature", "seed", "status"), "")
    columns |= dict.fromkeys(("device", "threads", "precision", "data_digest"), "")
    columns |= {"settings_digest": "", "code_version": ""}
    path = folder / "runs" / run_id / "record.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"columns": columns, "settings": {}, "pretrain": made, "evaluate": made}
    path.write_text(json.dumps(content), encoding="utf-8")


def judge(study: Study, layout: Layout, frame: pd.DataFrame, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    verdicts = study_verdicts.judge(study, layout, frame, None)
    (folder / "claims.json").write_text(judging.to_json(verdicts), encoding="utf-8")


def page_of(study: Study, frame: pd.DataFrame, root: Path, partial: bool = False) -> str:
    out = Layout(root).study(study.study) / "report.html"
    judge(study, Layout(root), frame, out.parent)
    page.build(study, "my/study.yaml", Layout(root), frame, out, partial)
    return out.read_text(encoding="utf-8")


def text_of(html: str) -> str:
    """What a reader sees, white space collapsed."""
    body = re.sub(r"<style>.*?</style>", " ", html, flags=re.DOTALL)
    plain = re.sub(r"<[^>]+>", "", re.sub(r"</(p|li|dt|dd|td|th|h\d|summary|pre)>", " ", body))
    unescaped = plain.replace("&amp;", "&").replace("&#39;", "'").replace("&#34;", '"')
    return " ".join(unescaped.replace("&lt;", "<").replace("&gt;", ">").split())
