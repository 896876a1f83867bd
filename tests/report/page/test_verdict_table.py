"""The headline and the table of verdicts say what the engine found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from report_page import judge, records_of, study_of, text_of
from tausweep.claims import judging
from tausweep.report import page
from tausweep.report.page import verdict_table
from tausweep.storage.layout import Layout


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


def test_a_verdict_that_hangs_on_a_seed_says_on_which(tmp_path: Path) -> None:
    study = study_of()
    frame = records_of(study)
    loose = {"C1": {"0": "contradicted", "1": "undecided"}, "C2": {"0": "contradicted"}}
    verdicts = [
        replace(v, verdict="contradicted", without_seed=loose[v.claim])  # type: ignore[arg-type]
        if v.claim in loose
        else v
        for v in judging.judge(frame)
    ]
    table = verdict_table.arrange(verdicts, [], 2, miniature=True)
    hanging = {row.id: row.hangs for row in table.rows if row.hangs}
    assert hanging == {"C1": "undecided without seed 1"}
    judge(study, Layout(tmp_path), frame, tmp_path)
    (tmp_path / "claims.json").write_text(judging.to_json(verdicts), encoding="utf-8")
    page.build(study, "s.yaml", Layout(tmp_path), frame, tmp_path / "r.html")
    shown = text_of((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert shown.count("Hangs on a seed: undecided without seed 1.") == 1
