"""Verdicts over all datasets, and how they are written down."""

from __future__ import annotations

import json
import math
import re

import pandas as pd
import pytest

from claim_records import (
    AGAINST,
    CONTRADICTED,
    IDS,
    SUPPORTED,
    UNDECIDED,
    UNMEASURED,
    UNTESTED,
    Change,
    alone,
    constant,
    outcome,
    study,
    without,
)
from tausweep.claims import judging
from tausweep.claims import verdicts as verdict_shapes
from tausweep.claims.judging import CLAIMS, judge, to_json, to_markdown
from tausweep.claims.verdicts import CLEARLY
from tausweep.results import published


def test_a_miniature_contradicts_nothing_but_in_the_miniature() -> None:
    found = judge(AGAINST["C7"][0](study()))
    text = to_markdown(found, miniature=True)
    assert text.count("contradicted in the miniature") >= 2
    assert "### C7: contradicted in the miniature" in text
    assert "### C7: contradicted\n" in to_markdown(found)
    said = verdict_shapes.headline(found, "digits", 3, miniature=True)
    assert said == (
        "In a miniature of Wang & Liu (2021) on digits with 3 seeds, 13 of the paper's 14 "
        "empirical claims were supported, 1 contradicted in the miniature and none left undecided. "
        "A miniature cannot settle what happens at the paper's own scale. The implementation "
        "passes 4 of 4 identity checks."
    )


def test_the_headline_counts_every_empirical_claim_once() -> None:
    said = verdict_shapes.headline(judge(without("simple")(study())), "digits", 3, miniature=True)
    assert re.search(r"none left undecided and \d+ not measured\. ", said), said
    counts = re.findall(r"(\d+|none)(?= of the|, | not| contradicted| left)", said.split(". ")[0])
    supported, *others = [0 if count == "none" else int(count) for count in counts]
    assert supported + sum(others) == 14, said


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("ss", SUPPORTED),
        ("s-", SUPPORTED),
        ("su", UNDECIDED),
        ("sc", UNDECIDED),
        ("cu", UNDECIDED),
        ("cc", CONTRADICTED),
        ("c-", CONTRADICTED),
        ("uu", UNDECIDED),
        ("--", UNMEASURED),
    ],
)
def test_overall_follows_from_the_datasets_that_count(kinds: str, expected: str) -> None:
    makes: dict[str, Change] = {
        "s": lambda frame: frame,
        "c": constant("simple", "linear_accuracy", 90),
        "u": constant("simple", "linear_accuracy", 82),
        "-": without("simple"),
    }
    frame = pd.concat([makes[kind](study(datasets=(f"d{i}",))) for i, kind in enumerate(kinds)])
    assert alone("C7", frame)[None].verdict == expected


def test_json_is_canonical_and_complete() -> None:
    text = to_json(judge(published.records(), run_noise=True))
    objects = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert text == json.dumps(objects, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert len(objects) == 18 * 5
    for entry in objects:
        assert entry["verdict"] in {SUPPORTED, CONTRADICTED, UNDECIDED, UNTESTED, UNMEASURED}
        assert entry["rule"]
        assert entry["reason"]
        assert entry["text"] == CLAIMS[entry["claim"]].text


def test_infinite_measures_stay_json() -> None:
    frame = study()
    frame.loc[frame["loss"] == "contrastive", "gradient_balance"] = math.inf
    assert outcome("C11", frame) == CONTRADICTED
    json.loads(to_json(judge(frame)), parse_constant=lambda name: pytest.fail(name))


def test_markdown_has_one_row_a_claim_with_every_dataset_and_its_numbers() -> None:
    text = judging.published_verdicts()
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.count(" | ") for line in table} == {5}
    assert table[0] == "| claim | cifar10 | cifar100 | imagenet100 | svhn | overall |"
    assert [line.split("**")[1] for line in table[2:]] == IDS
    row = next(line for line in table if line.startswith("| **C7**"))
    for number in ("+8.44", "+17.13", "+27.01", "+24.64"):
        assert f"supported<br>{number} (1)" in row
    for claim in CLAIMS.values():
        assert claim.said in text


def test_markdown_states_the_margins_and_where_they_come_from() -> None:
    text = judging.published_verdicts()
    for number in ("0.85 points of accuracy", "0.04 of uniformity", "0.01 of tolerance"):
        assert number in CLEARLY
        assert text.count(number) == 2
    assert "CIFAR10 and SVHN, which show no trend" in text
    assert "the rows in which C16 is undecided" in text


def test_the_page_explains_clearly_once() -> None:
    assert judging.published_verdicts().count(CLEARLY) == 1
    assert not any(CLEARLY in claim.said for claim in CLAIMS.values())
