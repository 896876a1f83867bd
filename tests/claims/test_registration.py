"""docs/claims.md says what the rules are, and what was simulated of them."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tausweep.claims import judging, rules

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "benchmarks/verdicts"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verdict_rates", PROGRAM / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_rules(program: ModuleType) -> None:
    page = (ROOT / "docs/claims.md").read_text(encoding="utf-8")
    assert f"`{judging.rules_digest()}`" in page
    assert page == program.page()


def test_a_changed_rule_changes_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = judging.rules_digest()
    monkeypatch.setattr(rules, "FAR", 0.11)
    assert judging.rules_digest() != before


def rows(name: str) -> list[dict[str, str]]:
    with (PROGRAM / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_at_most_one_study_in_twenty_contradicts_where_nothing_differs() -> None:
    # Of 200 simulated studies; a rate of 5% shows as up to 8% once in 40.
    assert {row["claim"] for row in rows("false")} >= {"C1", "C3", "C6", "C12b", "C16"}
    assert max(float(row["contradicted"]) for row in rows("false")) <= 0.05


def test_moderated_intervals_cover() -> None:
    found = [float(row["moderated"]) for row in rows("coverage")]
    assert min(found) >= 0.92
    assert max(found) <= 0.98
