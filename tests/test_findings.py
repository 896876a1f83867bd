"""docs/findings.md: what carries each sentence, and studies that are not finished."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import save_file

from tausweep import study as studies
from tausweep.claims import judging, study_verdicts
from tausweep.results import records
from tausweep.storage.atomic import write_text
from tausweep.storage.layout import Layout

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "benchmarks/measured"
PAGE = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
FINDINGS = PAGE.split("\n## In short\n")[1].split("\n## Along training\n")[0]


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(MEASURED))
    monkeypatch.delitem(sys.modules, "findings", raising=False)
    import findings as module  # type: ignore[import-not-found]

    found: ModuleType = module
    return found


@pytest.fixture
def beyond(findings: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What is said beyond the claims, of studies that are kept in a folder of the test."""
    monkeypatch.delitem(sys.modules, "beyond_claims", raising=False)
    import beyond_claims as module  # type: ignore[import-not-found]

    monkeypatch.setattr(findings, "HERE", tmp_path)
    found: ModuleType = module
    return found


def demo_by_class(folder: Path, shares: dict[float, float]) -> None:
    """Keep the demo there, with these shares of the penalty on the anchor's class."""
    write_text(folder / "demo/records.csv", (MEASURED / "demo/records.csv").read_text("utf-8"))
    rows = [
        f"contrastive,{tau},{seed},0.1,{share + seed / 100}"
        for tau, share in shares.items()
        for seed in range(3)
    ]
    text = "\n".join(["loss,temperature,seed,by_chance,share", *rows, ""])
    write_text(folder / "demo/classes.csv", text)


def test_shares_by_class_are_told_beside_the_records_of_the_same_cells(
    beyond: ModuleType, tmp_path: Path
) -> None:
    demo_by_class(tmp_path, {0.07: 0.5, 1.0: 0.2})
    assert beyond.lowest_temperature("demo") == 0.07
    assert beyond.class_share("demo", 0.07) == "0.510 ± 0.025 (3)"
    assert beyond.class_share("demo") == "0.10"
    first = beyond.class_shares("demo").splitlines()[2]
    assert first.startswith("| contrastive | 0.07 | 0.510 ± 0.025 (3) | 76.57 ± 1.44 (3) | 0.237")
    assert beyond.classes_link("demo").endswith("/measured/demo/classes.csv)")


def test_shares_that_do_not_fall_as_the_page_says_are_refused(
    beyond: ModuleType, tmp_path: Path
) -> None:
    demo_by_class(tmp_path, {0.07: 0.2, 1.0: 0.2})
    with pytest.raises(ValueError, match="demo: the page says that the share falls"):
        beyond.class_shares("demo")
    with pytest.raises(ValueError, match="demo: its figure penalty_by_class is not kept"):
        beyond.figure("demo", "penalty_by_class", "")
    with pytest.raises(ValueError, match="related: nothing is kept of it"):
        beyond.other_losses("related")


def test_sizes_of_the_hard_set_are_told_by_temperature_with_all_negatives_last(
    beyond: ModuleType, tmp_path: Path
) -> None:
    study = studies.load(ROOT / "benchmarks/hard-set-size.yaml")
    rows = []
    for run in study.runs():
        size = run.settings.loss.hard_set_size(1437)
        rows.append(
            {
                "study": study.study, "dataset": run.dataset, "loss": run.loss,
                "temperature": run.temperature, "seed": run.seed,
                "status": "missing" if run.seed == 2 else "complete",
                "linear_accuracy": 60.0 + run.seed, "knn_accuracy": 50.0, "uniformity": 2.0,
                "tolerance": 0.5, "alpha": None if size is None else size / 1436,
            }
        )  # fmt: skip
    write_text(tmp_path / "hard-set-size/partial/records.csv", records.table(rows))
    lines = beyond.sizes_table("hard-set-size").splitlines()[2:]
    places = [tuple(line.split(" | ")[:2]) for line in lines]
    percents = ["0.07", "0.28", "0.97", "2.99", "5.01", "8.22", "10.03", "30.01", "100"]
    assert places == [(f"| {tau}", percent) for tau in ("0.2", "1.0") for percent in percents]
    assert "60.50 ± 6.35 (2)" in lines[0]
    # All sizes are as good here, so that a sentence about better ones must not be rendered.
    assert lines[0].count("0.0 ±") == 1
    within = beyond.against_all("hard-set-size", "hardest_5_percent", 0.2, "within noise")
    assert within.startswith("0.0 ±")
    with pytest.raises(ValueError, match=r"hardest_5_percent at 0\.2: the page says above"):
        beyond.against_all("hard-set-size", "hardest_5_percent", 0.2, "above")


def test_other_losses_get_the_rules_of_the_claims_about_temperature(
    beyond: ModuleType, findings: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "HERE", MEASURED)
    table = beyond.other_losses("demo").splitlines()
    assert table[0] == "| loss | C1 | C2 | C3 | C9 | C10 |"
    # The paper's own loss has its own verdicts, and no other has three temperatures.
    (row,) = table[2:]
    assert row.startswith(
        "| contrastive | undecided<br>-0.493 ± 0.092 (3) | contradicted in the miniature<br>"
    )
    said = beyond.every_loss("related", "C9", "supported")
    assert said == "NT-Xent, moco, decoupled and simple with variance"
    with pytest.raises(ValueError, match="related, C1: the page says supported of all"):
        beyond.every_loss("related", "C1", "supported")
    assert beyond.gains("related", 0.2, 1.0).endswith(" to +22.9 ± 7.5 (3)")
    with pytest.raises(ValueError, match=r"nt_xent at 0\.2 and 0\.07: the page says above"):
        beyond.gains("related", 0.2, 0.07)


def test_sentences_that_the_records_do_not_carry_are_refused(
    beyond: ModuleType, findings: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "HERE", MEASURED)
    sizes = "hard-set-size"
    assert beyond.still_grows(sizes, "hardest_5_percent", 1.0).startswith("it still grew")
    with pytest.raises(ValueError, match=r"at 0\.2: the page says it grows"):
        beyond.still_grows(sizes, "hardest_0.1_percent", 0.2)
    assert beyond.better_than_all(sizes, "hardest_1_percent", "knn_accuracy").startswith("84.5%")
    with pytest.raises(ValueError, match="the page says better"):
        beyond.better_than_all(sizes, "hardest_0.1_percent", "knn_accuracy")
    assert beyond.no_lower("demo", "tolerance", 0.07, 1.0).startswith("0.237 ± 0.027 (3) at 0.07")
    with pytest.raises(ValueError, match=r"not lower at 1\.0"):
        beyond.no_lower("demo", "tolerance", 1.0, 0.07)
    assert beyond.difference_in_accuracy("related", "hcl", 0.2, 1.0, "within noise").endswith("(3)")
    with pytest.raises(ValueError, match=r"hcl at 0\.2 and 1\.0: the page says above"):
        beyond.difference_in_accuracy("related", "hcl", 0.2, 1.0, "above")


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def references() -> dict[str, str]:
    return dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", PAGE, flags=re.MULTILINE))


def test_findings_come_first_then_the_figure_along_training_then_the_table() -> None:
    headings = re.findall(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    assert headings[:7] == [
        "In short", "What holds", "What does not hold", "Where studies disagree",
        "What cannot be told yet, and why", "Along training", "Claim by claim",
    ]  # fmt: skip


def test_every_finding_names_the_record_that_carries_it() -> None:
    items = re.findall(r"^( *)- (.+(?:\n +(?!- )\S.*)*)", FINDINGS, flags=re.MULTILINE)
    carried = [text for indent, text in items if indent or not re.match(r"\*\*C\d+\w?: ", text)]
    assert len(carried) > 20
    for text in carried:
        cites = [label for label in references() if f"[{label}]" in text]
        assert cites or text == "None." or "](../benchmarks/" in text, text


def test_every_reference_leads_to_the_claims_own_section_in_the_kept_verdicts() -> None:
    assert references()
    for label, place in references().items():
        path, anchor = (ROOT / "docs" / place).resolve().as_posix().split("#")
        text = Path(path).read_text(encoding="utf-8")
        claim = label.split(",")[0].split()[1]
        (heading,) = re.findall(rf"^### ({claim}: .+)$", text, flags=re.MULTILINE)
        assert slug(heading) == anchor
        assert label.split()[0] in path.split("/")


def test_every_label_in_the_text_has_its_reference() -> None:
    assert set(re.findall(r"\[([\w-]+ C\d+\w?[^\]]*)\](?!\()", PAGE)) == {*references()}


def test_a_sentence_whose_verdict_has_changed_is_refused(findings: ModuleType) -> None:
    assert findings.says("demo", "C2", "contradicted", steady=False) == "[demo C2]"
    for stated in (
        {"verdict": "supported"},
        {"verdict": "contradicted", "steady": True},
        {"verdict": "contradicted", "begins": "+"},
    ):
        with pytest.raises(ValueError, match="demo, C2: a sentence states"):
            findings.says("demo", "C2", **stated)
    with pytest.raises(ValueError, match="paper: nothing is kept of it"):
        findings.says("paper", "C2", "supported")


def test_a_gap_that_does_not_shrink_along_training_is_refused(findings: ModuleType) -> None:
    assert findings.shrinking_gap("demo", "tolerance").startswith("-0.")
    # Uniformity at 0.07 rises more than at 1.0.
    with pytest.raises(ValueError, match="demo: the page says that the gap shrinks, the records"):
        findings.shrinking_gap("demo", "uniformity")
    with pytest.raises(ValueError, match="cifar10-small: no measures along its training are kept"):
        findings.shrinking_gap("cifar10-small", "tolerance")


def test_an_unfinished_study_counts_with_the_runs_it_has(
    findings: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = studies.load(ROOT / "benchmarks/demo.yaml")
    frame = records.read_table(MEASURED / "demo/records.csv")
    frame.loc[frame["seed"] == 2, "status"] = "missing"
    folder = tmp_path / "demo/partial"
    write_text(folder / "records.csv", frame.to_csv(index=False))
    verdicts = study_verdicts.judge(study, Layout(tmp_path), frame, None)
    write_text(folder / "claims.json", judging.to_json(verdicts))
    monkeypatch.setattr(findings, "HERE", tmp_path)
    monkeypatch.setattr(findings, "JUDGED", ("cifar10-200", "demo"))
    assert findings.kept("cifar10-200") is None
    assert findings.registered("demo") == "18 of 27 runs are kept"
    assert [study.called for study in findings.judged()] == ["demo, 18 of 27 runs"]
    label = findings.kept("demo").cite("C1")
    assert label == "[demo C1, 18 of 27 runs]"
    assert "/measured/demo/partial/claims.md#c1-" in findings.references()
    assert "demo, 18 of 27 runs" in findings.verdict_table()
    assert "[demo C1, 18 of 27 runs]" in "".join(map(findings.where, findings.STANDINGS))
    # With one seed, nothing of it is judged.
    frame.loc[frame["seed"] == 1, "status"] = "missing"
    write_text(folder / "records.csv", frame.to_csv(index=False))
    findings.kept.cache_clear()
    assert findings.registered("demo") == "9 of 27 runs are kept"
    assert findings.judged() == []


def many_classes(folder: Path, at_one: dict[str, float]) -> None:
    """Keep a study of many classes: 40% of 1,000 test images are right, at 1.0 as many as given."""
    study = studies.load(ROOT / "benchmarks/many-classes.yaml")
    rng, rows = np.random.default_rng(0), []
    for run in study.runs():
        if run.loss == "raw_pixels":
            continue
        share = {None: 0.1, 1.0: at_one[run.dataset]}.get(run.temperature, 0.4)
        right = rng.random(1000) < share
        path = Layout(folder).run(run) / "correct.safetensors"
        path.parent.mkdir(parents=True)
        save_file({"linear": right}, path)
        rows.append(
            {
                "study": study.study, "dataset": run.dataset, "loss": run.loss,
                "temperature": run.temperature, "seed": run.seed, "status": "complete",
                "linear_accuracy": 100 * right.mean(), "knn_accuracy": 30.0, "uniformity": 2.0,
                "tolerance": 0.5,
            }
        )  # fmt: skip
    write_text(folder / "many-classes/records.csv", records.table(rows))


@pytest.mark.parametrize(
    ("many", "answer"),
    [
        (0.4, "whether the ratio is lower with 100 classes cannot be told"),
        (0.2, "the ratio is lower with 100 classes"),
        (0.8, "the ratio is higher with 100 classes"),
    ],
)
def test_the_registered_question_of_the_number_of_classes_is_answered_by_its_interval(
    many: float, answer: str, beyond: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "class_numbers", raising=False)
    import class_numbers  # type: ignore[import-not-found]

    many_classes(tmp_path, {"tiny_imagenet_10": 0.4, "tiny_imagenet_100": many})
    assert class_numbers.answer(1.0).endswith(f"); {answer}")
    found = class_numbers.share("tiny_imagenet_100", 1.0)
    assert abs(found.value - 250 * many) < found.half
    # Half the interval's width of independent images, of which three seeds share one set.
    alone = 1.96 * math.sqrt((many * (1 - many) + (many / 0.4) ** 2 * 0.24) / 3000) / 0.4
    assert 100 * alone < found.half < 400 * alone
    rows = class_numbers.shares_table().splitlines()
    assert rows[0].endswith(
        "| published, CIFAR10 | published, CIFAR100 | difference above untrained |"
    )
    *_, first, second, added, _ = rows[-1].split("|")
    assert (first, second) == (" 98.7 ", " 85.6 ")
    # Of 0.1 to 0.4, which training adds at 0.3.
    assert float(added) == pytest.approx(100 * (many - 0.4) / 0.3, abs=25)


def test_what_turns_while_training_goes_on_is_told_by_epoch(
    beyond: ModuleType, findings: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "HERE", MEASURED)
    monkeypatch.delitem(sys.modules, "class_numbers", raising=False)
    import class_numbers

    few, many = class_numbers.turns("tolerance", 0.07, 1.0).split(" with 10 classes, ")
    assert re.fullmatch(r"-0\.1\d\d at epoch 40 and \+0\.02\d at epoch 80", few)
    assert many.endswith("at epoch 80 with 100 classes")
    with pytest.raises(ValueError, match="many-classes: the page says that uniformity turns"):
        class_numbers.turns("uniformity", 0.07, 1.0)
    assert "with 100 classes (by chance 0.01)" in class_numbers.penalty_on_own_class(0.07, 1.0)
    with pytest.raises(ValueError, match="many-classes: the page says that the share falls"):
        class_numbers.penalty_on_own_class(1.0, 0.07)
    assert class_numbers.difference_along(1.0) == "-8.4 at epoch 40 and -11.2 at epoch 80"
