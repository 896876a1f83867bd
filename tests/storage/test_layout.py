"""Files and folders of results have one name, which stands in one place."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tausweep
from tausweep.commands import export
from tausweep.storage import layout
from tausweep.storage.layout import File, Folder, SplitFile, measure_file
from tausweep.study import MEASURED, RESERVED_FILES, RESERVED_STUDIES

SOURCE = Path(tausweep.__file__).parent
SOURCES = SOURCE / "data/sources"
FILES = {*File, *(part.of(split) for part in SplitFile for split in ("train", "test"))}
RULES = sorted((Path(__file__).parents[2] / "workflow/rules").glob("*.smk"))


def names_in(text: str) -> list[tuple[int, str]]:
    """String literals, and parts of f-strings, whose last part is the name of a file."""
    literals = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant))
    return [
        (node.lineno, node.value)
        for node in literals
        if isinstance(node.value, str)
        and len(node.value.split()) == 1
        and node.value.rpartition("/")[2] in FILES
    ]


def folders_in(text: str) -> list[tuple[int, str]]:
    """String literals in paths, and in patterns of paths, with the name of a folder."""
    tree = ast.parse(text)
    joined = {
        id(side)
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        for side in (node.left, node.right)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and len(node.value.split()) == 1
        and (id(node) in joined or "/" in node.value)
        and {*node.value.split("/")} & {*Folder}
    ]


def test_no_module_but_the_layout_spells_the_name_of_a_file_or_folder() -> None:
    found = {}
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        names = names_in(text)
        # A source's own folders, such as data/cifar10 for its images, are none of results.
        names += [] if path.is_relative_to(SOURCES) else folders_in(text)
        if names and path != Path(layout.__file__):
            found[str(path.relative_to(SOURCE))] = names
    assert found == {}


@pytest.mark.parametrize("code", ['a / "record.json"', 'f"{a}/record.json"', 'x("*/record.json")'])
def test_a_name_is_found_however_it_is_spelled(code: str) -> None:
    assert [line for line, _ in names_in(code)] == [1]


@pytest.mark.parametrize("code", ['a / "runs" / b', 'f"{a}/tables/x"', 'x("*/runs/*")'])
def test_a_folder_is_found_however_it_is_spelled(code: str) -> None:
    assert [line for line, _ in folders_in(code)] == [1]


def test_a_study_file_cannot_name_what_the_layout_names() -> None:
    """The room of studies lies below and has the names of its own."""
    assert {measure_file(name) for name in RESERVED_FILES} <= {*File}
    assert {*MEASURED} < RESERVED_FILES
    assert {*Folder, export.WORKFLOW} > RESERVED_STUDIES


def test_workflow_names_files_as_the_layout_does() -> None:
    """Snakemake's patterns are literals; those of a run, a study and its data are of these."""
    pattern = re.compile(r"results/[^\"\s]*/([a-z_]+\.(?:json|csv|safetensors))\"")
    text = "\n".join(path.read_text(encoding="utf-8") for path in RULES)
    named = set(pattern.findall(text))
    assert named <= {*File}
    assert {File.MANIFEST, File.ENCODER, File.PRETRAIN, File.RECORD, File.RECORDS} <= named
