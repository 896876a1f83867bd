"""The RO-Crate of an export, read back by the library and compared with the records.

``make test-crate`` also validates it by the profile's own rules (tests/crate_validator.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rocrate.rocrate import ROCrate

import exported
from tausweep import study as studies
from tausweep.report.artefact.crate import PROFILES, WORKFLOW
from tausweep.results import records

RUN = "translated_digits/contrastive/0.07/seed0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported.demo(tmp_path_factory.mktemp("crate") / "demo", "Ada Lovelace", licence="MIT")


@pytest.fixture(scope="module")
def graph(folder: Path) -> Mapping[str, dict[str, Any]]:
    """The entities by their identifiers."""
    content = json.loads((folder / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    assert content["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    return {entity["@id"]: entity for entity in content["@graph"]}


def identifiers(value: Any) -> list[str]:
    """What a property refers to: one entity, or a list of them."""
    return [one["@id"] for one in (value if isinstance(value, list) else [value])]


def test_the_library_reads_it(folder: Path) -> None:
    read = ROCrate(folder)
    assert read.mainEntity.id == WORKFLOW
    assert read.name == "demo: a tausweep study"
    assert {file.id for file in read.data_entities} > {"demo/records.csv", "demo/study.json"}
    assert identifiers(read.root_dataset.as_jsonld()["conformsTo"]) == [*PROFILES]


def test_every_reference_leads_to_an_entity(graph: Mapping[str, dict[str, Any]]) -> None:
    elsewhere = {
        "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE",
        "http://mlcommons.org/croissant/1.0",
        "https://w3id.org/ro/crate/1.1",
        # Of the library's entity for Snakemake.
        "https://snakemake.readthedocs.io",
        "https://doi.org/10.1093/bioinformatics/bts480",
    }

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            return {value["@id"]}
        if isinstance(value, list):
            return {found for one in value for found in references(one)}
        return set()

    stated = {
        found for entity in graph.values() for v in entity.values() for found in references(v)
    }
    assert stated - graph.keys() <= elsewhere


def test_every_file_is_described_with_its_digest(
    folder: Path, graph: Mapping[str, dict[str, Any]]
) -> None:
    parts = {*identifiers(graph["./"]["hasPart"])}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_dir() or name in ("ro-crate-metadata.json", "CONTENTS.json"):
            continue
        data = path.read_bytes()
        assert name in parts
        assert graph[name]["sha256"] == hashlib.sha256(data).hexdigest()
        assert graph[name]["contentSize"] == str(len(data))
        assert "/" in graph[name]["encodingFormat"]


def test_actions_say_what_the_records_say(graph: Mapping[str, dict[str, Any]]) -> None:
    study = studies.load(exported.STUDY)
    actions = {name for name, entity in graph.items() if entity["@type"] == "CreateAction"}
    stages = ("pretrain", "evaluate")
    assert actions == {f"#{run.id}/{stage}" for run in study.runs() for stage in stages} | {
        "#study"
    }
    assert {*identifiers(graph["./"]["mentions"])} == actions
    content = records.read(exported.MEASURED / "demo/runs" / RUN / "record.json")
    codes = dict(zip(stages, content["columns"]["code_version"].split("-"), strict=True))
    for stage in stages:
        action, made = graph[f"#{RUN}/{stage}"], content[stage]
        assert action["startTime"] == made["started"]
        assert action["endTime"] == made["ended"]
        assert action["description"] == made["command"]
        tool = graph[action["instrument"]["@id"]]
        assert tool["softwareVersion"] == f"0.1.0, code {codes[stage]}"
        assert made["commit"] in tool["description"]
        needed = [graph[found] for found in identifiers(tool["softwareRequirements"])]
        versions = {package["name"]: package["softwareVersion"] for package in needed}
        wanted = {n: v for n, v in made["packages"].items() if n != "tausweep"}
        assert versions == wanted | {"Python": made["python"]}
        machine = graph[action["additionalProperty"]["@id"]]["value"]
        assert f"cpu {made['hardware']['cpu']}" in machine
        assert "threads 1" in machine
        folder = f"demo/runs/{RUN}/"
        assert all(name.startswith(folder) for name in identifiers(action["result"]))
    assert f"demo/runs/{RUN}/history.csv" in identifiers(graph[f"#{RUN}/pretrain"]["result"])
    assert f"demo/runs/{RUN}/record.json" in identifiers(graph[f"#{RUN}/evaluate"]["result"])


def test_the_workflow_names_its_steps_tools_inputs_and_outputs(
    graph: Mapping[str, dict[str, Any]],
) -> None:
    workflow = graph[WORKFLOW]
    assert {*workflow["@type"]} == {"File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"}
    steps = [graph[name] for name in identifiers(workflow["step"])]
    assert [step["name"] for step in steps] == ["pretrain", "evaluate"]
    tools = [name for step in steps for name in identifiers(step["workExample"])]
    assert tools == identifiers(workflow["hasPart"])
    for direction, expected in (("input", {"study", "data"}), ("output", {"records", "claims"})):
        parameters = [graph[name] for name in identifiers(workflow[direction])]
        assert {parameter["name"] for parameter in parameters} == expected
        for parameter in parameters:
            for example in identifiers(parameter["workExample"]):
                assert parameter["@id"] in identifiers(graph[example]["exampleOfWork"])
    whole = graph["#study"]
    assert whole["instrument"] == {"@id": WORKFLOW}
    assert "demo/records.parquet" in identifiers(whole["result"])
    times = [entity["startTime"] for name, entity in graph.items() if name.endswith("/pretrain")]
    assert whole["startTime"] == min(times)


def test_author_and_licence_are_those_that_were_stated(
    graph: Mapping[str, dict[str, Any]], tmp_path: Path
) -> None:
    assert graph["./"]["author"] == {"@id": "#Ada%20Lovelace"}
    assert graph["#study"]["agent"] == {"@id": "#Ada%20Lovelace"}
    assert graph["./"]["license"] == {"@id": "https://spdx.org/licenses/MIT"}
    silent = exported.demo(tmp_path / "demo")
    content = json.loads((silent / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    plain = {entity["@id"]: entity for entity in content["@graph"]}
    assert "author" not in plain["./"]
    assert "agent" not in plain["#study"]
    assert plain["#licence-not-stated"]["name"] == "No licence stated"
