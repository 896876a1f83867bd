"""The JSON documents of all commands: one envelope, and the keys that docs/commands.md has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tausweep.cli import COMMANDS, main, parser_of
from tausweep.commands.json_document import print_document

REPOSITORY = Path(__file__).parents[2]
KEPT = str(REPOSITORY / "benchmarks/measured")
RECORDS = f"{KEPT}/demo/records.csv"
TYPED = {
    "plan": ["demo", "--no-measure"],
    "status": ["demo", "--results", KEPT],
    "show": ["demo", "--results", KEPT],
    "compare": [RECORDS, RECORDS, "--measure", "uniformity"],
    "measure": ["x.npy"],
    "verify": ["demo", "--results", KEPT],
}
ELSEWHERE = {"choose"}
"""Its document is that of minutes of training: tests/commands/choosing/test_answer.py."""


def rows() -> Iterator[tuple[str, str]]:
    """What docs/commands.md says of each document."""
    text = (REPOSITORY / "docs/commands.md").read_text(encoding="utf-8")
    section = text.split("\n## JSON\n")[1].split("\n## ")[0]
    yield from re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)


def refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize(
    ("command", "described"), [row for row in rows() if row[0] not in ELSEWHERE]
)
def test_document_has_the_keys_that_are_documented(
    command: str,
    described: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.random.default_rng(0).normal(size=(30, 4)))
    assert main([command, *TYPED[command], "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert list(document)[:2] == ["document", "version"]
    assert (document.pop("document"), document.pop("version")) == (f"tausweep {command}", 1)
    named = set(re.findall(r"`(\w+)`", described))
    assert document.keys() <= named
    inner = {
        key
        for value in document.values()
        if isinstance(value, list) and value and isinstance(value[0], dict)
        for key in value[0]
    }
    within = {"mean", "half_width", "n"} if command == "show" else set()
    assert named == document.keys() | inner | within | ({"null"} & named)


def test_every_command_with_the_flag_is_documented() -> None:
    offering = {
        command.name
        for command in COMMANDS.values()
        if "--json" in parser_of(command, command.load()).format_help()
    }
    assert {command for command, _ in rows()} == offering == TYPED.keys() | ELSEWHERE


def test_numbers_that_json_lacks_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    content = {"a": [float("nan"), 1.5, {"b": float("-inf")}], "c": "inf", "d": (2, None)}
    print_document("show", content)
    document = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert document == {
        "document": "tausweep show", "version": 1,
        "a": [None, 1.5, {"b": None}], "c": "inf", "d": [2, None],
    }  # fmt: skip
