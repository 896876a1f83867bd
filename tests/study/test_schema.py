"""The schema of study files: it takes what the loader takes, and an editor sees what it refuses."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tausweep.study import SECTIONS, content_of
from tausweep.study.schema import schema_text, study_schema

ROOT = Path(__file__).resolve().parents[2]
STUDIES = sorted(
    path for folder in ("", "options") for path in (ROOT / "benchmarks" / folder).glob("*.yaml")
)
SMALL: dict[str, Any] = {
    "study": "small",
    "datasets": {"digits": None},
    "losses": {"contrastive": {"temperature": 0.3}},
}


def errors(content: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(study_schema())
    return [".".join(map(str, error.absolute_path)) for error in validator.iter_errors(content)]


def test_the_schema_of_the_docs_is_today_s() -> None:
    """``tausweep schema > docs/study.schema.json`` writes it anew."""
    assert (ROOT / "docs" / "study.schema.json").read_text("utf-8") == schema_text()
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text()))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_our_own_studies_fit_and_name_it(path: Path) -> None:
    assert errors(content_of(path)) == []
    first = path.read_text("utf-8").splitlines()[0]
    marker, _, place = first.partition("$schema=")
    assert marker == "# yaml-language-server: "
    assert (path.parent / place).resolve() == ROOT / "docs" / "study.schema.json"


@pytest.mark.parametrize(
    "section",
    [*SECTIONS, "figures"],
)
def test_every_section_refuses_an_unknown_key(section: str) -> None:
    assert errors(SMALL | {section: {"nonsense": 1}}) == [section]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"seeds": [-1]}, "seeds.0"),
        ({"pretrain": {"epochs": -1}}, "pretrain.epochs"),
        ({"pretrain": {"precision": "float16"}}, "pretrain.precision"),
        ({"views": {"hue": 0.6}}, "views.hue"),
        ({"knn": {"k": 0}}, "knn.k"),
        ({"losses": {"simple": {"temperatures": 1}}}, "losses.simple"),
        ({"losses": {"contrastive": {"temperature": 0}}}, "losses.contrastive.temperature"),
        ({"datasets": {"digits": {"subset_seed": "ran"}}}, "datasets.digits.subset_seed"),
        ({"datasets": {"d": {"source": {"kind": "mnist"}}}}, "datasets.d.source.kind"),
        ({"overrides": [{"pretrain": {"lr": 0}}]}, "overrides.0.pretrain.lr"),
    ],
)
def test_what_is_not_allowed_is_marked_where_it_is(change: dict[str, Any], where: str) -> None:
    assert set(errors(SMALL | change)) == {where}


@pytest.mark.parametrize(
    "change",
    [
        {"pretrain": None},
        {"losses": {"simple": None, "mine": {"module": "mine.py", "options": {"a": 1}}}},
        {"datasets": {"d": {"train_limit": 60, "subset_seed": "run"}}},
        {"evaluate_at": [0.5, 1.0]},
    ],
)
def test_what_is_allowed_fits(change: dict[str, Any]) -> None:
    assert errors(SMALL | change) == []


def test_properties_carry_the_words_of_their_docstrings() -> None:
    pretrain = study_schema()["$defs"]["pretrain"]["properties"]
    assert pretrain["batch_size"]["description"].startswith("Anchors per step")
    assert pretrain["lr"]["default"] == 0.03
