"""docs/findings.md: what carries each sentence, and studies that are not finished."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

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
    items = re.findall(r"^( *)- (.+(?:\n +[^ -].*)*)", FINDINGS, flags=re.MULTILINE)
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
