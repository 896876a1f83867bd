"""What is printed: the answer in one line, what it holds for, what would settle it."""

import dataclasses
import re
from pathlib import Path

import pytest

from tausweep.commands.choosing.answer import GEOMETRY, Answer
from tausweep.commands.choosing.plan import Stage
from tausweep.commands.choosing.study_text import Recipe
from tausweep.report.choice.page import page
from tausweep.results.choice import Choice, Gain, Standing

TAUS = (0.07, 0.2, 0.5, 1.0)
RECIPE = Recipe(Path("/photos"), 32, "resnet10", 16, 32, 0.01, 50)
COARSE = Stage("coarse", TAUS, 20, 0.5, True)
REFINED = Stage("refined", (0.1, 0.2, 0.5), 40, 0.5, False)


def choice(**changes: object) -> Choice:
    standings = tuple(
        Standing(
            tau,
            accuracy,
            accuracy - 2,
            accuracy + 2,
            50 - accuracy,
            48 - accuracy,
            52 - accuracy,
            worse,
        )
        for tau, accuracy, worse in ((0.1, 49.0, False), (0.2, 50.0, False), (0.5, 45.0, True))
    )
    gains = (
        Gain("untrained", 30.0, 20.0, 18.0, 22.0, True),
        Gain("raw_pixels", 33.0, 17.0, 15.0, 19.0, True),
    )
    found = Choice(0.1, 0.1, (0.1, 0.2), standings, gains, (), (), 0.8)
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


def answer(**changes: object) -> Answer:
    means = {tau: dict.fromkeys(GEOMETRY, 1.5) for tau in (0.1, 0.2, 0.5)}
    found = Answer(
        "photos", {"train": 1500, "test": 500, "classes": 10}, ["note"], RECIPE, [COARSE, REFINED],
        REFINED, 3, choice(), None, means, {0.07: (20, True), 1.0: (20, False)}, {}, 19.0,
        "study.yaml", dict.fromkeys(means, (40.0, 45.0)),
    )  # fmt: skip
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


def test_the_answer_is_one_line_with_its_range() -> None:
    found = answer()
    assert found.code == 0
    assert "use tau = 0.1 (0.1 to 0.2 are within noise)" in found.lines()
    alone = answer(choice=choice(within=(0.2,), temperature=0.2))
    assert alone.headline() == "use tau = 0.2 (all others that were tried are clearly worse)"


def test_it_says_what_it_holds_for_and_what_limits_it() -> None:
    said = " ".join(answer().remarks())
    assert "resnet10 of width 16 at 32 pixels, trained for 40 epochs, 3 seeds" in said
    assert "most of the noise is that of 500 test images" in said
    assert "tau = 0.07 was clearly worse after 20 epochs" in said
    assert "tau = 1 was worse, but within noise, after 20 epochs" in said
    assert "was tried" not in said  # 0.07 below and 1 above were, and are worse
    edge = answer(stages=[REFINED], dropped={})
    assert any("nothing below 0.1 was tried" in remark for remark in edge.remarks())


def test_no_answer_says_why_and_what_would_settle_it() -> None:
    found = answer(choice=choice(temperature=None, open=("why",), settle=("what",)))
    assert found.code == 3
    assert found.headline() == "no answer: why"
    assert "  to settle it: what" in found.lines()
    assert answer(choice=None, decided=None, means={}).headline().startswith("no answer: too few")


def test_a_hint_is_no_answer() -> None:
    found = answer(choice=None, hint=0.2)
    assert found.code == 3
    assert found.headline() == "no answer without labels; a hint only: tau = 0.2"
    assert any("random" in remark for remark in found.remarks())
    assert "labels settle it" in found.settle()[0]
    assert found.table()[0] == ["tau", "uniformity", "alignment", "RankMe", ""]


def test_the_document_has_the_keys_that_are_documented() -> None:
    text = (Path(__file__).parents[3] / "docs/commands.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| `choose` \| (.*) \|$", text, re.MULTILINE)
    assert answer().to_json().keys() == {*re.findall(r"`(\w+)`", row)} - {"null"}


@pytest.mark.parametrize(
    "changes", [{}, {"choice": None, "hint": 0.2}, {"means": {}, "choice": None}]
)
def test_the_page_has_the_question_the_answer_and_needs_nothing_else(
    changes: dict[str, object],
) -> None:
    found = answer(**changes)
    html = page(found.to_json(), found.table())
    assert "<h1>Which temperature for these images?</h1>" in html
    assert f"<h2>{found.headline()}</h2>" in html
    assert "http://" not in html.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")
    assert "<script" not in html
    assert ("<svg" in html) == bool(found.means)
