"""Files of results have one name, which stands in one place."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tausweep
from tausweep.storage import layout
from tausweep.storage.layout import File

SOURCE = Path(tausweep.__file__).parent
RULES = sorted((Path(__file__).parents[2] / "workflow/rules").glob("*.smk"))


def names_in(text: str) -> list[tuple[int, str]]:
    """String literals, and parts of f-strings, whose last part is the name of a file."""
    literals = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant))
    return [
        (node.lineno, node.value)
        for node in literals
        if isinstance(node.value, str)
        and len(node.value.split()) == 1
        and node.value.rpartition("/")[2] in {*File}
    ]


def test_no_module_but_the_layout_spells_the_name_of_a_file() -> None:
    found = {
        str(path.relative_to(SOURCE)): names
        for path in SOURCE.rglob("*.py")
        if path != Path(layout.__file__) and (names := names_in(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize("code", ['a / "record.json"', 'f"{a}/record.json"', 'x("*/record.json")'])
def test_a_name_is_found_however_it_is_spelled(code: str) -> None:
    assert [line for line, _ in names_in(code)] == [1]


def test_workflow_names_files_as_the_layout_does() -> None:
    """Snakemake's patterns are literals; those of a run, a study and its data are of these."""
    pattern = re.compile(r"results/[^\"\s]*/([a-z_]+\.(?:json|csv|safetensors))\"")
    text = "\n".join(path.read_text(encoding="utf-8") for path in RULES)
    named = set(pattern.findall(text))
    assert named <= {*File}
    assert {File.MANIFEST, File.ENCODER, File.PRETRAIN, File.RECORD, File.RECORDS} <= named
