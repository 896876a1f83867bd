"""Study files of benchmarks/ are what they say: the paper, or the paper with one other setting."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tausweep import cli
from tausweep.commands import cost, plan
from tausweep.commands.flags import USAGE_ERROR
from tausweep.storage.layout import Layout
from tausweep.study import Run, Study, StudyError, canonical, load

REPOSITORY = Path(__file__).parents[2]
BENCHMARKS = REPOSITORY / "benchmarks"
FILES = sorted(BENCHMARKS.rglob("*.yaml"))
PAPER = {run.id: run for run in load(BENCHMARKS / "paper.yaml").runs()}

CHANGED: dict[str, dict[str, tuple[Any, Any]]] = {
    "flip": {"views.flip": (False, True)},
    "bn_group": {"pretrain.bn_group": (None, 32)},
    "literal_topk": {"loss.literal_topk": (None, True)},
    "mlp_head": {"encoder.head": ("linear", "mlp")},
    "alpha": {"loss.alpha": (None, 0.0315), "loss.negatives": (4095, None)},
    "svhn_extra": {"dataset.source.extra": (False, True)},
}
"""Every option: the settings that its cells have otherwise, the paper's value and its own."""


def of_paper(run: Run, dataset: str) -> Run:
    return PAPER[f"{dataset}/{run.id.partition('/')[2]}"]


def flat(content: dict[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from flat(value, f"{place}{name}.")
        else:
            yield place + name, value


def differing(a: Run, b: Run) -> dict[str, tuple[Any, Any]]:
    """Every setting that is not equal, whether or not it enters a digest."""
    sides = [dict(flat(run.settings.model_dump())) for run in (a, b)]
    names = sides[0].keys() | sides[1].keys()
    both = {name: (sides[0].get(name), sides[1].get(name)) for name in names}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


def option(name: str) -> tuple[Study, str, str]:
    """An option's study, its headline's dataset and the one beside it."""
    study = load(BENCHMARKS / f"options/{name}.yaml")
    headline, beside = study.datasets
    return study, headline, beside


def test_every_option_is_tested() -> None:
    assert {path.stem for path in (BENCHMARKS / "options").iterdir()} == CHANGED.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_study_file_plans_without_its_data(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None
) -> None:
    monkeypatch.chdir(tmp_path)
    study = load(path)
    assert study.study == path.stem
    if any(run.settings.dataset.source.kind == "folder" for run in study.runs()):
        with pytest.raises(StudyError, match="there is no folder"):
            plan.check(study, Layout(tmp_path / "results"))
        return
    plan.check(study, Layout(tmp_path / "results"))
    text = plan.describe(study, Layout(tmp_path / "results"))
    assert f"study {path.stem}: {len(study.runs())} runs" in text
    assert cost.cost(study, Layout(tmp_path / "results")).unknown == ()
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", CHANGED)
def test_headline_beside_an_option_is_the_papers_to_the_digest(name: str) -> None:
    study, headline, _ = option(name)
    runs = [run for run in study.runs() if run.dataset == headline]
    assert len(runs) == 9
    for run in runs:
        paper = of_paper(run, headline)
        assert run.settings == paper.settings
        assert run.settings.digest == paper.settings.digest


@pytest.mark.parametrize("name", CHANGED)
def test_an_option_changes_its_setting_and_nothing_else(name: str) -> None:
    study, headline, beside = option(name)
    runs = [run for run in study.runs() if run.dataset == beside]
    assert {(run.temperature, run.seed) for run in runs} == {
        (tau, seed) for tau in (0.07, 0.3, 1.0) for seed in (0, 1, 2)
    }
    for run in runs:
        assert differing(of_paper(run, headline), run) == CHANGED[name]
        assert run.settings.pretrain_digest != of_paper(run, headline).settings.pretrain_digest


@pytest.mark.parametrize("name", CHANGED)
def test_commands_of_an_options_comment_are_commands(name: str, tmp_path: Path) -> None:
    study, headline, beside = option(name)
    comment = (BENCHMARKS / f"options/{name}.yaml").read_text("utf-8").partition("study:")[0]
    assert f"snakemake --configfile benchmarks/options/{name}.yaml\n" in comment
    assert f"R=results/{study.study}/records.csv\n" in comment
    assert f"tausweep compare $R $R --datasets {headline} {beside}\n" in comment
    for words in re.findall(r"tausweep (compare .*)", comment):
        arguments = words.replace("$R", str(tmp_path / "records.csv")).split()
        # Understood, and refused only because nothing has run.
        assert cli.main(arguments) == USAGE_ERROR


def test_options_are_listed_in_the_protocol() -> None:
    text = (REPOSITORY / "docs/protocol.md").read_text(encoding="utf-8")
    section = text.partition("## Settle it yourself")[2].partition("\n## ")[0]
    for name in CHANGED:
        _, headline, beside = option(name)
        (row,) = (line for line in section.splitlines() if f"| `{name}` |" in line)
        assert f"| `{headline}`: " in row
        assert f"| `{beside}`: " in row


def test_first_runs_price_what_the_document_says(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for run in load(BENCHMARKS / "first-gpu.yaml").runs():
        content = {
            "settings": run.settings.pretrain_json() | run.settings.evaluate_json(),
            "columns": {"images_per_second": 1000.0},
            "pretrain": {"hardware": {"gpu": "Some GPU"}},
        }
        layout.run(run).mkdir(parents=True)
        (layout.run(run) / "record.json").write_text(json.dumps(content), encoding="utf-8")
    prices = cost.costs(load(BENCHMARKS / "paper.yaml"), layout)
    counts = [price.measured.get("Some GPU", (0.0, 0))[1] for price in prices.values()]
    assert counts == [125, 125, 125, 0]
    document = (REPOSITORY / "docs/paper.md").read_text(encoding="utf-8")
    assert re.search(r"price 375 of the\s+580", document)


def test_first_runs_are_cells_of_the_paper_with_their_published_numbers() -> None:
    runs = load(BENCHMARKS / "first-gpu.yaml").runs()
    assert {(run.loss, canonical(run.temperature)) for run in runs} == {
        ("contrastive", "0.3"),
        ("contrastive", "0.07"),
        ("contrastive", "1.0"),
        ("hard_contrastive", "1.0"),
        ("simple", "none"),
    }
    assert len(runs) == 5
    assert all(run.settings == PAPER[run.id].settings for run in runs)
    document = (REPOSITORY / "docs/paper.md").read_text(encoding="utf-8")
    with (BENCHMARKS / "published/wang_liu_2021_table1.csv").open(encoding="utf-8") as file:
        published = [row for row in csv.DictReader(file) if row["dataset"] == "cifar10"]
    for run in runs:
        tau = "" if run.temperature is None else canonical(run.temperature)
        (row,) = (r for r in published if (r["loss"], r["temperature"]) == (run.loss, tau))
        numbers = " | ".join(row[name] for name in ("accuracy", "uniformity", "tolerance"))
        assert f"| `{run.loss}` | {tau or 'none'} | {numbers} |" in document


def paired(name: str) -> list[tuple[Run, dict[str, Any]]]:
    """Every run of a study of the GPU visit, and what it has otherwise than the measured cell."""
    measured = {run.id: run for run in load(BENCHMARKS / "cifar10-paper.yaml").runs()}
    study = load(BENCHMARKS / f"{name}.yaml")
    assert len(study.order) == len(study.runs())
    return [
        (run, differing(measured[f"cifar10/contrastive/0.3/seed{run.seed}"], run))
        for run in study.by_worth()
    ]


def test_the_accuracy_gap_is_looked_for_one_setting_at_a_time() -> None:
    assert [(run.dataset, changes) for run, changes in paired("accuracy-gap")] == [
        ("cifar10_bn_group", {"pretrain.bn_group": (None, 32)}),
        ("cifar10_tf32", {"pretrain.precision": ("bf16", "tf32")}),
    ]


def test_bf16_is_paired_with_tf32_in_short_runs() -> None:
    short = {"pretrain.epochs": (200, 40)}
    tf32 = {"pretrain.precision": ("bf16", "tf32")}
    assert [(run.dataset, run.seed, changes) for run, changes in paired("precision")] == [
        pair
        for seed in (0, 1, 2)
        for pair in (("cifar10", seed, short), ("cifar10_tf32", seed, short | tf32))
    ]
    document = (REPOSITORY / "docs/paper-scale.md").read_text(encoding="utf-8")
    for name in ("accuracy-gap", "precision", "cifar10-paper"):
        assert f"(../benchmarks/{name}.yaml)" in document
