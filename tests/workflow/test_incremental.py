"""What is planned after a change, as lists of jobs: nothing is computed twice.

The cases are also the table of ``docs/reruns.md``; the last test holds the two together.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from checkout import REPOSITORY, RUNS, TINY, Checkout, DryRuns, jobs_of

Edit = Callable[[Checkout], object]


@dataclass(frozen=True)
class Case:
    """A change and the jobs that it plans.

    Attributes:
        change: In words, as the table has it.
        edit: Makes it.
        jobs: What is planned; none for nothing.
        says: The table's words for it.
    """

    change: str
    edit: Edit
    jobs: frozenset[str]
    says: str


def study_edit(change: Callable[[dict[str, Any]], None]) -> Edit:
    def edit(checkout: Checkout) -> None:
        study = copy.deepcopy(TINY)
        change(study)
        checkout.write_study(study)

    return edit


def remove(*names: str) -> Edit:
    def edit(checkout: Checkout) -> None:
        for name in names:
            (checkout.folder / RUN / name).unlink()

    return edit


def remove_everywhere(checkout: Checkout) -> None:
    remove("encoder.safetensors", "record.json")(checkout)
    shutil.rmtree(checkout.folder / "results/store")


def of(*rules: str, runs: tuple[str, ...] = RUNS) -> frozenset[str]:
    return frozenset(f"{rule} {run}" for rule in rules for run in runs)


def touch_all(checkout: Checkout) -> None:
    for folder in ("results", "pictures", "src", "workflow"):
        for path in (checkout.folder / folder).rglob("*"):
            os.utime(path)
    os.utime(checkout.folder / "study.yaml")


def truncate(checkout: Checkout, name: str) -> None:
    path = checkout.folder / name
    path.write_bytes(path.read_bytes()[:100])


def replace_image(checkout: Checkout) -> None:
    pictures = sorted((checkout.folder / "pictures/train").rglob("*.png"))
    pictures.sort(key=lambda path: path.stat().st_size)
    # A decoder ignores what follows the image.
    other, replaced = (pictures[place].read_bytes() for place in (0, -1))
    pictures[-1].write_bytes(other.ljust(len(replaced), b"\0"))


RUN = "results/tiny/runs/pictures/simple/none/seed0"
NEW = ("study", "collect")
NOTHING = frozenset[str]()

CASES = [
    Case("nothing", lambda c: None, NOTHING, "nothing, at once"),
    Case(
        "a temperature is added",
        study_edit(lambda s: s["losses"]["contrastive"].update(temperature=[0.1, 0.5])),
        of("pretrain", "evaluate", runs=("pictures/contrastive/0.5/seed0",)) | {*NEW},
        "pretraining and evaluation of its runs",
    ),
    Case(
        "a seed is added",
        study_edit(lambda s: s.update(seeds=[0, 1])),
        of("pretrain", "evaluate", runs=tuple(r.replace("seed0", "seed1") for r in RUNS)) | {*NEW},
        "pretraining and evaluation of its runs",
    ),
    Case(
        "a loss is added",
        study_edit(lambda s: s["losses"].update(nearest_negative=None)),
        of("pretrain", "evaluate", runs=("pictures/nearest_negative/none/seed0",)) | {*NEW},
        "pretraining and evaluation of its runs",
    ),
    Case(
        "a dataset is added",
        study_edit(lambda s: s["datasets"].update(digits={"train_limit": 60, "test_limit": 40})),
        of("pretrain", "evaluate", runs=tuple(r.replace("pictures", "digits") for r in RUNS))
        | {"prepare digits", *NEW},
        "its preparation, pretraining and evaluation of its runs",
    ),
    Case(
        "a temperature is removed",
        study_edit(lambda s: s["losses"].pop("contrastive")),
        frozenset(NEW),
        "the collected table only; `tausweep clean` lists what is left over",
    ),
    Case(
        "a setting of the probe is changed",
        study_edit(lambda s: s["linear"].update(epochs=4)),
        of("evaluate") | {*NEW},
        "all evaluations; only the probe is computed again",
    ),
    Case(
        "the k of kNN is changed",
        study_edit(lambda s: s["knn"].update(k=4)),
        of("evaluate") | {*NEW},
        "all evaluations; only kNN is computed again",
    ),
    Case(
        "`evaluate_at` is set or changed",
        study_edit(lambda s: s.update(evaluate_at=[0.25, 0.5])),
        of("evaluate") | {*NEW},
        "all evaluations, but only the measures along training; for epochs already passed the run "
        "must be trained again",
    ),
    Case(
        "a setting of one loss's runs is overridden",
        study_edit(lambda s: s.update(overrides=[{"loss": "simple", "pretrain": {"lr": 0.01}}])),
        of("pretrain", "evaluate", runs=("pictures/simple/none/seed0",)) | {*NEW},
        "pretraining and evaluation of those runs",
    ),
    Case(
        "a default of pretraining is changed in `study/pretrain.py`",
        lambda c: c.edit(
            "src/tausweep/study/pretrain.py", "lr: Positive = 0.03", "lr: Positive = 0.04"
        ),
        of("pretrain", "evaluate") | {"collect"},
        "pretraining and evaluation of all runs that had the old default",
    ),
    Case(
        "a default of the probe is changed in `study/measures.py`",
        lambda c: c.edit(
            "src/tausweep/study/measures.py", "batch_size: Count = 256", "batch_size: Count = 255"
        ),
        of("evaluate") | {"collect"},
        "evaluation of all runs that had the old default",
    ),
    Case(
        "a picture is added to the data",
        lambda c: (
            (c.folder / "pictures/train/dark/99.png").write_bytes(
                (c.folder / "pictures/train/dark/00.png").read_bytes()
            )
            and None
        ),
        of("pretrain", "evaluate") | {"prepare folder", "collect"},
        "preparation, and everything made from these data",
    ),
    Case(
        "a comment is added to `pretrain.py`",
        lambda c: c.edit(
            "src/tausweep/training/pretrain.py", "import time\n", "# Clocks.\nimport time\n"
        ),
        NOTHING,
        "nothing",
    ),
    Case(
        "code of the training is changed",
        lambda c: c.edit(
            "src/tausweep/views/rendering.py", "_IMAGES_AT_ONCE = 2048", "_IMAGES_AT_ONCE = 1024"
        ),
        NOTHING,
        "nothing by itself; `tausweep status` names the records, see below",
    ),
    Case(
        "the command of a rule is changed",
        lambda c: c.edit(
            "workflow/rules/pretrain.smk", "exec tausweep pretrain", "exec  tausweep pretrain"
        ),
        NOTHING,
        "nothing",
    ),
    Case("all files are touched: results, data, code, study", touch_all, NOTHING, "nothing"),
    Case(
        "an image is replaced by another of the same name and size",
        replace_image,
        of("pretrain", "evaluate") | {"prepare folder", "collect"},
        "its preparation, and all runs on it if its pixels differ",
    ),
    Case(
        "a record is deleted",
        lambda c: (c.folder / RUN / "record.json").unlink(),
        NOTHING,
        "nothing: the store has it, see below",
    ),
    Case(
        "records.csv is deleted",
        lambda c: (c.folder / "results/tiny/records.csv").unlink(),
        frozenset({"collect"}),
        "the collected table",
    ),
    Case(
        "an encoder is deleted",
        lambda c: (c.folder / RUN / "encoder.safetensors").unlink(),
        NOTHING,
        "nothing, while its record is there",
    ),
    Case(
        "an encoder and its record are deleted",
        remove("encoder.safetensors", "record.json"),
        NOTHING,
        "nothing: the store has them, see below",
    ),
    Case(
        "a run's encoder and record are deleted, and the store",
        remove_everywhere,
        of("pretrain", "evaluate", runs=("pictures/simple/none/seed0",)) | {"collect"},
        "pretraining and evaluation of that run",
    ),
    Case(
        "the study is renamed",
        study_edit(lambda s: s.update(study="renamed")),
        frozenset(NEW),
        "the collected table only, and what is made from it",
    ),
    Case(
        "0.1 is written as 0.10 or 1e-1",
        lambda c: c.edit("study.yaml", "temperature: 0.1", "temperature: [0.10]"),
        NOTHING,
        "nothing",
    ),
    Case(
        "the study file is reordered",
        lambda c: (
            c.write_study(
                {
                    key: dict(reversed(value.items())) if isinstance(value, dict) else value
                    for key, value in reversed(TINY.items())
                }
            )
            and None
        ),
        NOTHING,
        "nothing",
    ),
]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.change) for case in CASES])
def test_a_change_plans_what_depends_on_it_and_nothing_else(
    case: Case, checkout: Checkout, dry: DryRuns
) -> None:
    case.edit(checkout)
    # A prepared folder's name ends with the digest of its settings.
    planned = {re.sub(r"^(prepare \w+)-.*", r"\1", job) for job in dry.jobs(checkout)}
    assert planned == case.jobs


def test_prepared_data_made_again_retrain_nothing(checkout: Checkout, dry: DryRuns) -> None:
    (manifest,) = (checkout.folder / "results/data").glob("*/manifest.json")
    manifest.unlink()
    study = copy.deepcopy(TINY)
    study["losses"]["contrastive"]["temperature"] = [0.1, 0.5]
    checkout.write_study(study)
    new = of("pretrain", "evaluate", runs=("pictures/contrastive/0.5/seed0",))
    planned = dry.jobs(checkout)
    assert planned == new | {*NEW, f"prepare {manifest.parent.name}"}
    checkout.complete("--cores", "1", "--until", "prepare")
    assert dry.jobs(checkout) == new | {*NEW}


def test_file_of_another_name_with_the_same_study_plans_nothing(
    checkout: Checkout, dry: DryRuns
) -> None:
    checkout.write_study(TINY, "renamed äöü.yaml")
    assert dry.jobs(checkout, study="renamed äöü.yaml") == NOTHING


def test_two_studies_of_one_source_share_its_data_and_do_not_undo_each_other(
    checkout: Checkout, dry: DryRuns
) -> None:
    # Two users have the source at different places: what is prepared is the same.
    digits = {"source": {"kind": "digits"}, "train_limit": 60, "test_limit": 40}
    one = TINY | {"study": "one", "datasets": {"digits": digits}, "losses": {"simple": None}}
    elsewhere = {"kind": "digits", "path": "elsewhere", "download": True}
    other = one | {"study": "other", "datasets": {"mine": digits | {"source": elsewhere}}}
    checkout.write_study(one, "one.yaml")
    checkout.write_study(other, "other.yaml")
    checkout.complete("--cores", "1", "--until", "prepare", study="one.yaml")
    (manifest,) = (checkout.folder / "results/data").glob("digits-*/manifest.json")
    prepared = f"prepare {manifest.parent.name}"
    planned = dry.jobs(checkout, study="one.yaml")
    assert "pretrain digits/simple/none/seed0" in planned
    assert prepared not in planned
    planned = dry.jobs(checkout, study="other.yaml")
    assert "pretrain mine/simple/none/seed0" in planned
    assert prepared not in planned


def test_epochs_that_were_not_kept_are_named_and_only_a_forced_training_has_them(
    checkout: Checkout, dry: DryRuns
) -> None:
    study = copy.deepcopy(TINY) | {"evaluate_at": [0.25, 0.5]}
    study["losses"].pop("contrastive")
    checkout.write_study(study)
    run, table = RUNS[1], checkout.folder / "results/tiny/along.csv"
    before = (checkout.folder / RUN / "encoder.safetensors").read_bytes()
    checkout.complete("--cores", "1", checkout.records())
    log = checkout.folder / f"results/tiny/logs/{run}/evaluate.log"
    said = [line for line in log.read_text("utf-8").splitlines() if "left out" in line]
    assert [line.split(" is left out")[0] for line in said] == ["epoch 5", "epoch 10"]
    assert _epochs(table) == ["20"]
    assert dry.jobs(checkout) <= {"study"}
    # The command that the log names.
    named = re.findall(r"--forcerun (\S+)`", said[0])
    assert named == [f"{RUN}/pretrain.json"]
    assert dry.jobs(checkout, "--forcerun", *named) >= {f"pretrain {run}", f"evaluate {run}"}
    checkout.complete("--cores", "1", checkout.records(), "--forcerun", *named)
    assert _epochs(table) == ["5", "10", "20"]
    assert (checkout.folder / RUN / "encoder.safetensors").read_bytes() == before
    table.unlink()
    assert dry.jobs(checkout, str(table.relative_to(checkout.folder))) == {"collect"}
    checkout.write_study({k: v for k, v in study.items() if k != "evaluate_at"})
    assert f"pretrain {run}" not in dry.jobs(checkout)


def _epochs(table: Path) -> list[str]:
    head, *lines = (line.split(",") for line in table.read_text("utf-8").splitlines())
    return [line[head.index("epoch")] for line in lines]


@pytest.mark.parametrize(
    ("pattern", "losses"),
    [
        ("*/0.5/*", ("contrastive/0.5",)),
        ("pictures/contrastive/*", ("contrastive/0.5",)),
        ("*/simple/*,*/0.5/*", ("contrastive/0.5",)),
        ("*/simple/*", ()),
        ("*", ("contrastive/0.5", "nearest_negative/none")),
    ],
)
def test_a_selected_part_runs_alone(
    pattern: str, losses: tuple[str, ...], checkout: Checkout, dry: DryRuns
) -> None:
    study = copy.deepcopy(TINY)
    study["losses"] |= {"contrastive": {"temperature": [0.1, 0.5]}, "nearest_negative": None}
    checkout.write_study(study)
    runs = tuple(f"pictures/{loss}/seed0" for loss in losses)
    planned = dry.jobs(checkout, "selected", "--config", f"select={pattern}")
    assert planned == of("pretrain", "evaluate", runs=runs)


def test_selection_that_matches_nothing_is_told(checkout: Checkout, dry: DryRuns) -> None:
    said = dry(checkout, "selected", "--config", "select=*/simpel/*", code=1)
    assert "no run of the study matches '*/simpel/*'" in said


def test_other_code_is_redone_by_one_documented_command(checkout: Checkout, dry: DryRuns) -> None:
    run = "pictures/simple/none/seed0"
    target = f"results/tiny/runs/{run}/pretrain.json"
    planned = dry.jobs(checkout, "--forcerun", target)
    assert planned == {f"pretrain {run}", f"evaluate {run}", "collect"}


def test_reading_the_workflow_imports_no_torch(checkout: Checkout, dry: DryRuns) -> None:
    checkout.edit(
        "workflow/Snakefile",
        "rule all:",
        'print("torch" in sys.modules, "sklearn" in sys.modules, file=sys.stderr)\n\n\nrule all:',
    )
    assert "False False" in dry(checkout)


def test_no_rule_retries_by_itself_or_protects() -> None:
    # A rule's `retries` are multiplied by the nested Snakemakes of a cluster job.
    for path in (REPOSITORY / "workflow").rglob("*.smk"):
        text = path.read_text(encoding="utf-8")
        for word in ("    retries:", "protected(", "    run:\n"):
            assert word not in text, f"{path}: {word}"


def test_documented_table_is_the_tested_one() -> None:
    lines = ["| what is changed | what runs |", "| --- | --- |"]
    lines += [f"| {case.change} | {case.says} |" for case in CASES]
    text = (REPOSITORY / "docs/reruns.md").read_text(encoding="utf-8")
    assert "\n".join(lines) + "\n" in text


def test_job_lists_are_read_as_snakemake_writes_them() -> None:
    said = """
rule pretrain:
    output: results/x
    wildcards: study=s, dataset=d, loss=simple, tau=none, seed=3
localrule collect:
    wildcards: study=s
"""
    assert jobs_of(said) == {"pretrain d/simple/none/seed3", "collect"}


def test_tree_is_copied_with_its_times(checkout: Checkout, finished: Checkout) -> None:
    name = Path("results/tiny/records.csv")
    copied, original = checkout.folder / name, finished.folder / name
    assert copied.stat().st_mtime == pytest.approx(original.stat().st_mtime)
