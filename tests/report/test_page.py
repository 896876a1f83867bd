"""The report comes out whatever the records lack, says so, and loads nothing."""

from __future__ import annotations

import base64
import html as escaping
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pandas as pd
import pytest

import frames
from tausweep.claims import judging, study_verdicts
from tausweep.report import figures, page, protocol, tables
from tausweep.results import published
from tausweep.storage import provenance
from tausweep.storage.layout import Layout
from tausweep.study import Study, canonical, parse

# A GPU machine has not got it.
publish_parts = pytest.importorskip("docutils.core").publish_parts

TAUS = (0.07, 0.3, 0.7, 1.0)
LOSSES: dict[str, Any] = {
    "contrastive": {"temperature": list(TAUS)},
    "hard_contrastive": {"temperature": list(TAUS)},
    "simple": {},
    "hard_simple": {},
}
VOID = {"meta", "link", "br", "img", "hr", "input", "use", "path", "circle", "rect"}
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def study_of(seeds: Sequence[int] = (0, 1, 2), **sections: Any) -> Study:
    content = {"study": "synthetic", "seeds": list(seeds), "datasets": {"cifar10": {}}}
    return parse(content | {"losses": LOSSES, "baselines": False} | sections)


def records_of(study: Study) -> pd.DataFrame:
    """Records that the study's runs could have made today, all complete."""
    frame = frames.records(tuple(study.datasets), TAUS, tuple(LOSSES), study.seeds)
    runs = {(r.dataset, r.loss, canonical(r.temperature), r.seed): r for r in study.runs()}
    keys = [
        (row.dataset, row.loss, canonical(None if row.temperature != row.temperature else
         row.temperature), row.seed)
        for row in frame.itertuples()
    ]  # fmt: skip
    frame["settings_digest"] = [runs[key].settings.digest for key in keys]
    frame["code_version"] = "-".join(map(provenance.code_version, ("pretrain", "evaluate")))
    return frame


def make_exhibits(folder: Path, frame: pd.DataFrame) -> None:
    for make in (tables.table1, tables.full):
        table = make(frame, published.records())
        table.write([folder / "tables" / f"{table.name}.html"])
    (folder / "figures").mkdir(parents=True, exist_ok=True)
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


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("complete")
    study = study_of()
    frame = records_of(study)
    make_exhibits(root / "synthetic", frame)
    return page_of(study, frame, root)


def test_the_headline_counts_the_verdicts_of_the_engine(tmp_path: Path) -> None:
    study = study_of()
    frame = records_of(study)
    judge(study, Layout(tmp_path), frame, tmp_path)
    headline = page.build(study, "s.yaml", Layout(tmp_path), frame, tmp_path / "r.html")
    overall = [v for v in judging.judge(frame) if v.dataset is None]
    findings = [v for v in overall if v.kind == "finding"]
    supported = sum(v.verdict == "supported" for v in findings)
    unmeasured = sum(v.verdict == "not measured" for v in findings)
    assert f"{supported} of the paper's {len(findings)} empirical claims were" in headline
    assert f"{unmeasured} not measured" in headline
    assert headline in text_of((tmp_path / "r.html").read_text(encoding="utf-8"))


def test_every_claim_stands_with_verdict_rule_and_reason(complete: str) -> None:
    verdicts = [v for v in judging.judge(records_of(study_of())) if v.dataset is not None]
    assert [v.claim for v in verdicts] == list(judging.CLAIMS)
    for verdict in verdicts:
        section = complete.split(f'<tbody id="{verdict.claim}">')[1].split("</tbody>")[0]
        kind = verdict.verdict
        assert f'<span class="word">{kind}</span>' in section
        assert text_of(f"<p>{verdict.rule[:40].replace('tau', 'τ')}</p>") in text_of(section)
        assert "<b>Rule.</b>" in section
        assert text_of(section).count(f"CIFAR10, {kind}:") == 1


def test_a_complete_study_of_the_papers_protocol_has_no_cautions(complete: str) -> None:
    text = text_of(complete)
    assert "Nothing to report" in text
    assert "Every setting is the paper’s." in text
    assert "No run is missing: all 30 have their record." in text
    assert "Scaled down" not in text
    assert "Not finished" not in text


def test_every_figure_is_embedded_with_caption_and_text_alternative(complete: str) -> None:
    sources = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)">', complete)
    # Nothing of this study is measured along the training.
    expected = [name for name in figures.NAMES if name != "along"]
    assert len(sources) == len(expected)
    for name, (encoded, alt) in zip(expected, sources, strict=True):
        assert f"<text>{name}</text>" in base64.b64decode(encoded).decode()
        assert alt.startswith(figures.FIGURES[name].title.replace("'", "&#39;"))
    frame = records_of(study_of())
    cell = frame[(frame["loss"] == "contrastive") & (frame["temperature"] == 0.07)]
    assert (
        f"from {cell['uniformity'].mean():.4g} at τ = 0.07"
        in complete.replace("contrastive: ", "from ", 1)
        or f"{cell['uniformity'].mean():.4g} at τ = 0.07" in complete
    )


def test_every_run_stands_with_its_settings_digest(complete: str) -> None:
    runs = study_of().runs()
    assert complete.count('<details class="run complete">') == len(runs)
    for run in runs:
        assert f"<code>{run.settings.digest}</code>" in complete
        assert f"<code>{run.id}</code>" in complete


def test_a_missing_cell_is_named_with_the_command_that_fills_it(tmp_path: Path) -> None:
    study = study_of()
    frame = records_of(study)
    gone = (frame["loss"] == "contrastive") & (frame["temperature"] == 0.3)
    text = text_of(page_of(study, frame[~gone], tmp_path))
    assert "Not finished. 27 of 30 runs are complete" in text
    assert "CIFAR10, contrastive: τ = 0.3, seeds 0, 1, 2" in text
    assert "snakemake --configfile my/study.yaml" in text
    record = tmp_path / "synthetic/runs/cifar10/contrastive/0.3/seed1/record.json"
    assert f"snakemake {record} --configfile my/study.yaml" in text
    assert "3 of 30 runs without a result" in text


def test_copies_of_a_published_datasets_images_are_named(tmp_path: Path) -> None:
    place = tmp_path / "copies"
    for split in ("train", "test"):
        for name in ("a", "b"):
            (place / split / name).mkdir(parents=True)
            (place / split / name / "1.JPG").touch()
            (place / split / name / "2.png").touch()
    source = {"kind": "folder", "path": str(place)}
    study = study_of(datasets={"cifar10": {"source": source}})
    text = text_of(page_of(study, records_of(study), tmp_path))
    assert "Copies of the images. Images come from a folder" in text
    assert "CIFAR10: 4 .jpg, 4 .png; lossy copies" in text
    assert "source of the images the published archive images in a folder" in text
    shutil.rmtree(place)
    text = text_of(page_of(study, records_of(study), tmp_path))
    assert "CIFAR10: the folder is not there any more" in text
    own = study_of(datasets={"birds": {"source": source}})
    assert "Copies of the images" not in text_of(page_of(own, records_of(own), tmp_path))


def test_failed_and_stale_runs_are_told_from_missing_ones(tmp_path: Path) -> None:
    study = study_of()
    frame = frames.mark(records_of(study), "failed", loss="simple", seed=1)
    frame = frames.mark(frame, "missing", loss="hard_simple", seed=2)
    other = (frame["loss"] == "contrastive") & (frame["temperature"] == 0.7) & (frame["seed"] == 0)
    frame.loc[other, "settings_digest"] = "0123456789abcdef"
    text = text_of(page_of(study, frame, tmp_path))
    assert "27 complete, 1 failed, 1 stale, 1 missing" in text
    assert "Failed: 1 run" in text
    assert f"logs in {tmp_path}/synthetic/logs/cifar10/simple/none/seed1" in text
    assert "Missing: 1 run" in text
    assert "Stale: 1 run" in text
    assert "0123456789abcdef in the record" in text


def test_a_diverged_run_is_a_caution_and_leaves_its_claims_undecided(tmp_path: Path) -> None:
    study = study_of()
    frame = frames.mark(records_of(study), "diverged", loss="contrastive", temperature=0.07, seed=0)
    html = page_of(study, frame, tmp_path)
    assert "Diverged runs. The loss of 1 of 30 runs was not finite" in text_of(html)
    assert "CIFAR10, contrastive: τ = 0.07, seed 0" in text_of(html)
    first = html.split('<tbody id="C1">')[1].split("</tbody>")[0]
    assert '<span class="word">undecided</span>' in first
    assert "diverged (seed 0)" in first


def test_a_collapsed_run_is_a_caution_and_counts(tmp_path: Path) -> None:
    study = study_of()
    frame = records_of(study).assign(collapsed=0)
    chosen = (
        (frame["loss"] == "contrastive") & (frame["temperature"] == 0.07) & (frame["seed"] == 0)
    )
    frame.loc[chosen, "collapsed"] = 1
    html = page_of(study, frame, tmp_path)
    assert "All test embeddings of 1 of 30 runs are one point" in text_of(html)
    assert "CIFAR10, contrastive: τ = 0.07, seed 0" in text_of(html)
    assert html.count("collapsed ‡") == 1
    assert "30 complete" in text_of(html)


def test_single_seeds_are_a_caution_and_give_no_interval(tmp_path: Path) -> None:
    study = study_of(seeds=[0])
    text = text_of(page_of(study, records_of(study), tmp_path))
    assert "Single seeds. Every cell with one complete run" in text
    assert "Every cell is a single run, so no comparison is decided" in text


def test_one_single_seed_among_others_is_named(tmp_path: Path) -> None:
    study = study_of(seeds=[0, 1])
    frame = frames.mark(records_of(study), "missing", loss="simple", seed=1)
    text = text_of(page_of(study, frame, tmp_path))
    assert "Single seeds. 1 of 10 cells with one complete run" in text
    assert "Each cell has 1 to 2 seeds" in text
    # t(0.975, 1) / sqrt 2 = 12.706 / 1.414
    assert "with 2 seeds reach 9.0 standard deviations" in text


@pytest.mark.parametrize("shortfall", [2.0, 2.01])
def test_a_probe_below_the_converged_classifier_is_a_caution(
    tmp_path: Path, shortfall: float
) -> None:
    study = study_of()
    frame = records_of(study)
    frame.loc[4, "linear_accuracy"] = 70.0
    frame.loc[4, "linear_accuracy_converged"] = 70.0 + shortfall
    text = text_of(page_of(study, frame, tmp_path))
    row = frame.loc[4]
    named = f"CIFAR10, contrastive, τ = {row['temperature']:g}, seed {row['seed']}: 70.00%"
    assert (f"{named}, converged 72.01%" in text) == (shortfall > 2)
    assert ("Linear probe below a converged classifier" in text) == (shortfall > 2)


def test_code_of_another_day_is_a_caution_with_the_command_that_redoes_it(tmp_path: Path) -> None:
    study = study_of()
    frame = records_of(study)
    today = provenance.code_version("pretrain"), provenance.code_version("evaluate")
    frame.loc[:5, "code_version"] = f"{today[0]}-000000000000"
    text = text_of(page_of(study, frame, tmp_path))
    assert "Mixed code versions. The records come from 2 versions" in text
    assert f"evaluation: 6 of 30 runs, installed is {today[1]}" in text
    assert "pretraining: " not in text
    assert "snakemake --configfile my/study.yaml --forcerun evaluate" in text
    frame["code_version"] = f"000000000000-{today[1]}"
    text = text_of(page_of(study, frame, tmp_path))
    assert "Mixed code versions" not in text
    assert f"pretraining: 30 of 30 runs, installed is {today[0]}" in text
    assert "snakemake --configfile my/study.yaml --forcerun pretrain" in text


def test_mixed_devices_threads_and_data_are_named(tmp_path: Path) -> None:
    study = study_of()
    frame = records_of(study)
    frame.loc[:9, "device"] = "cuda"
    frame.loc[3, "threads"] = 8
    frame.loc[7, "data_digest"] = "f" * 64
    text = text_of(page_of(study, frame, tmp_path))
    assert "Mixed devices" in text
    assert "device cuda: 10 of 30 runs" in text
    assert "threads 8: 1 of 30 runs" in text
    assert "Mixed data. Runs of one dataset were made on different prepared data" in text


def test_provenance_is_shown_once_an_environment(tmp_path: Path) -> None:
    study = study_of()
    ids = [run.id for run in study.runs()]
    for run_id in ids[:3]:
        write_record(tmp_path / "synthetic", run_id)
    write_record(tmp_path / "synthetic", ids[3], python="3.12.1", commit="1" * 40 + "+")
    html = page_of(study, records_of(study), tmp_path)
    text = text_of(html)
    assert html.count('<details class="environment"') == 2
    assert html.count('href="#environment-A"') == 6
    assert html.count('href="#environment-B"') == 2
    assert f"tausweep pretrain study.yaml --run {ids[0]}" in text
    assert "2026-01-02 03:04:05 to 2026-01-02 03:14:05 UTC" in text
    assert "Uncommitted code" in text
    assert f"environment B: {'1' * 40}+" in text
    assert "Mixed packages" in text


def test_a_damaged_record_is_named_and_the_page_comes_out(tmp_path: Path) -> None:
    study = study_of()
    run_id = study.runs()[0].id
    write_record(tmp_path / "synthetic", run_id)
    path = tmp_path / "synthetic" / "runs" / run_id / "record.json"
    path.write_text(path.read_text(encoding="utf-8")[:40], encoding="utf-8")
    text = text_of(page_of(study, records_of(study), tmp_path))
    assert "Damaged records" in text
    assert f"{path}: damaged or not a record" in text


def test_tables_and_figures_that_are_not_made_are_named(tmp_path: Path) -> None:
    study = study_of()
    frame = records_of(study)
    make_exhibits(tmp_path / "synthetic", frame)
    (tmp_path / "synthetic/tables/table1.html").unlink()
    (tmp_path / "synthetic/figures/training.svg").unlink()
    text = text_of(page_of(study, frame, tmp_path))
    assert "Not made yet: Table 1; Training curves." in text
    assert "This figure is not made yet." in text


def test_without_any_result_the_report_still_comes_out(tmp_path: Path) -> None:
    study = study_of()
    frame = frames.mark(records_of(study), "missing")
    text = text_of(page_of(study, frame, tmp_path, partial=True))
    assert "0 of 30 runs are complete. Nothing can be judged yet." in text
    assert "none of the paper's 14 empirical claims were supported, none contradicted" in text


def test_rows_of_other_runs_are_named(tmp_path: Path) -> None:
    study = study_of(seeds=[0, 1])
    text = text_of(page_of(study, records_of(study_of()), tmp_path))
    assert "Rows of other runs" in text
    assert "cifar10/contrastive/0.07/seed2" in text


def test_text_of_users_is_escaped(tmp_path: Path) -> None:
    study = study_of()
    run_id = study.runs()[0].id
    write_record(tmp_path / "synthetic", run_id, command="<script>alert(1)</script>")
    html = page_of(study, records_of(study), tmp_path)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    study = study_of()
    frame = frames.mark(records_of(study), "failed", loss="simple")
    make_exhibits(tmp_path / "synthetic", frame)
    write_record(tmp_path / "synthetic", study.runs()[0].id)
    first = page_of(study, frame, tmp_path)
    assert page_of(study, frame, tmp_path) == first
    assert page_of(study, frame.sample(frac=1, random_state=0), tmp_path) == first


# ---- protocol ----


def test_the_papers_own_settings_are_no_departure() -> None:
    grid = {"temperature": list(protocol.PAPER_TEMPERATURES)}
    content = {
        "study": "paper",
        "datasets": {name: {} for name in protocol.PAPER_DATASETS},
        "baselines": False,
        "losses": {"contrastive": grid, "hard_contrastive": grid, "simple": {}, "hard_simple": {}},
    }
    found = protocol.compare(parse(content))
    assert found.departures == []
    assert found.absent == []
    assert found.scaled_down is None


def test_departures_name_setting_values_and_where() -> None:
    study = study_of(
        datasets={"cifar10": {"image_size": 16, "train_limit": 10000}, "svhn": {}},
        encoder={"width": 16},
        pretrain={"epochs": 300},
        losses={
            "contrastive": {"temperature": [0.3, 1.0]},
            "hard_simple": {"negatives": 819},
        },
        overrides=[{"loss": "contrastive", "temperature": 0.3, "views": {"flip": True}}],
    )
    found = {d.setting: d for d in protocol.compare(study).departures}
    assert set(found) == {
        "dataset.image_size", "dataset.train_limit", "encoder.width", "pretrain.epochs",
        "loss.negatives", "views.flip",
    }  # fmt: skip
    limit = found["dataset.train_limit"]
    assert (limit.paper, limit.here, limit.where, limit.smaller) == (
        "all", "10,000", "CIFAR10", True,
    )  # fmt: skip
    assert (found["encoder.width"].where, found["encoder.width"].smaller) == ("", True)
    assert not found["pretrain.epochs"].smaller
    assert found["loss.negatives"].where == "hard simple"
    assert found["views.flip"].where == "2 of 6 cells"


def test_a_folder_named_like_a_dataset_of_the_paper_is_held_against_it(tmp_path: Path) -> None:
    folder = {"kind": "folder", "path": str(tmp_path)}
    content = {"losses": {"simple": {}}, "study": "s", "baselines": False}
    own = parse(content | {"datasets": {"svhn": {"source": folder}}})
    settings = {d.setting for d in protocol.compare(own).departures}
    # Flips of the probe, where the protocol of SVHN has colours.
    assert settings == {"dataset.source", "linear.views"}
    assert not any(departure.smaller for departure in protocol.compare(own).departures)
    other = parse(content | {"datasets": {"birds": {"source": folder}}})
    assert protocol.scaled_down(other) == "birds instead of the paper's datasets"


def test_a_smaller_study_says_in_one_line_how(tmp_path: Path) -> None:
    small = study_of(
        datasets={"digits": {}}, encoder={"trunk": "resnet10"}, pretrain={"epochs": 30}
    )
    assert protocol.scaled_down(small) == (
        "Digits instead of the paper's datasets; images of 8 × 8 instead of 32 × 32 pixels; "
        "resnet10 instead of resnet18; 30 instead of 200 epochs"
    )
    text = text_of(page_of(small, records_of(small), tmp_path))
    assert (
        f"Scaled down. A miniature of the paper’s protocol: {protocol.scaled_down(small)}" in text
    )
    assert "Scaled down: see under Protocol how." in text


# ---- the page as HTML ----


class Outline(HTMLParser):
    """Balanced tags, headings, ids, references and what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "id" in given:
            self.ids.append(str(given["id"]))
        if tag == "a":
            self.links.append(str(given["href"]))
        for name in ("src", "srcset", "data", "poster", "action", "background"):
            if name in given:
                self.loads.append(str(given[name]))
        if tag in ("link", "use"):
            self.loads.append(str(given.get("href")))
        if tag == "th" and "scope" not in given:
            self.problems.append("th without scope")
        if tag == "img" and not given.get("alt"):
            self.problems.append("img without alt")
        if tag in ("script", "iframe", "object", "embed"):
            self.problems.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")


def outline(html: str) -> Outline:
    found = Outline()
    found.feed(html)
    found.close()
    return found


def full_of_everything(root: Path) -> str:
    """A page in which every section has content."""
    study = study_of(
        datasets={"cifar10": {"image_size": 16}, "cifar100": {}, "svhn": {}, "imagenet100": {}}
    )
    frame = frames.mark(records_of(study), "failed", loss="simple", seed=0, dataset="svhn")
    frame = frames.mark(frame, "missing", loss="hard_simple", dataset="cifar100")
    frame = frames.mark(frame, "diverged", temperature=0.07, dataset="cifar10", seed=1)
    frame.loc[0, "settings_digest"] = "0123456789abcdef"
    frame.loc[:4, "code_version"] = "a-b"
    folder = root / "synthetic"
    make_exhibits(folder, frame)
    (folder / "figures/training.svg").unlink()
    for run in study.runs()[:5]:
        write_record(folder, run.id, commit=str(run.seed) * 40 + "+")
    return page_of(study, frame, root)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> str:
    return full_of_everything(tmp_path_factory.mktemp("everything"))


def test_the_page_is_well_formed_and_accessible(everything: str) -> None:
    found = outline(everything)
    assert found.open == []
    assert found.problems == []
    assert len(found.ids) == len(set(found.ids))
    inside = {link[1:] for link in found.links if link.startswith("#")}
    assert inside <= set(found.ids)
    assert found.headings[0] == 1
    assert found.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(found.headings, found.headings[1:], strict=False))
    assert '<html lang="en">' in everything


def test_the_outline_finds_what_is_broken() -> None:
    broken = outline('<h1>a<p></h1><th>b</th><img src="http://x/y.png"><script></script>')
    assert "</h1> closes nothing" in broken.problems
    assert {"th without scope", "img without alt", "script"} <= set(broken.problems)
    assert broken.loads == ["http://x/y.png"]


def test_the_page_loads_nothing_from_anywhere(everything: str) -> None:
    found = outline(everything)
    assert all(load.startswith(("data:", "#")) for load in found.loads)
    outside = {link for link in found.links if not link.startswith("#")}
    assert outside == {
        "https://arxiv.org/abs/2012.09740",
        "https://doi.org/10.1109/CVPR46437.2021.00252",
    }
    style = everything.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in everything


def browse(
    chromium: str, url: str, profile: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync",
        "--disable-background-networking", f"--user-data-dir={profile}", *options, url,
    ]  # fmt: skip
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, env=dict(os.environ)
    )


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_chromium_has_no_complaint(everything: str, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    pages = {"good": everything, "bad": "<script>console.error('heard')</script>"}
    said = {}
    for name, html in pages.items():
        path = tmp_path / f"{name}.html"
        path.write_text(html, encoding="utf-8")
        options = ("--enable-logging=stderr", "--dump-dom", "--window-size=390,900")
        done = browse(CHROMIUM, path.as_uri(), tmp_path / name, *options)
        said[name] = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert len(done.stdout) > 0
    assert "heard" in said["bad"][0]
    assert said["good"] == []


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_is_never_wider_than_the_window(
    everything: str, tmp_path: Path, width: int
) -> None:
    assert CHROMIUM is not None
    # The page forbids scripts and windows have a least width, so a copy is measured in a frame,
    # every detail open.
    measured = re.sub(r"<meta http-equiv[^>]+>", "", everything)
    measured = measured.replace(" open>", ">").replace("<details", "<details open")
    frame = f'<iframe width="{width}" height="900" srcdoc="{escaping.escape(measured)}"></iframe>'
    script = (
        "<script>onload = () => { const w = frames[0], e = w.document.documentElement;"
        "document.title = [w.innerWidth, e.scrollWidth, e.scrollHeight].join(' ') }</script>"
    )
    path = tmp_path / "measured.html"
    path.write_text(f"<title>not measured</title>{frame}{script}", encoding="utf-8")
    done = browse(CHROMIUM, path.as_uri(), tmp_path / "profile", "--dump-dom")
    title = re.search(r"<title>(\d+) (\d+) (\d+)</title>", done.stdout)
    assert title is not None
    inner, scroll, height = map(int, title.groups())
    assert inner == width
    assert scroll <= inner
    assert height > 5000


# ---- captions of Snakemake's own report ----

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


def test_figures_follow_the_dark_mode_of_the_page(tmp_path: Path) -> None:
    """What is drawn on white is turned round in the dark, on screen and not on paper."""
    study = study_of()
    html = page_of(study, records_of(study), tmp_path)
    rules = re.search(
        r"@media screen and \(prefers-color-scheme: dark\) \{(.*?)\n\}", html, re.DOTALL
    )
    assert rules is not None
    assert ".card { background: var(--raised); }" in rules[1]
    assert re.search(r"\.card img \{ filter: invert\(1\) hue-rotate\(180deg\)", rules[1])
    assert "(dark)" not in html
