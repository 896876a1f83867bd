"""One version everywhere, and what the workflow catalogue reads."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import yaml

import tausweep
from tausweep import study as studies

ROOT = Path(__file__).resolve().parents[1]


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    codemeta = json.loads((ROOT / "codemeta.json").read_text("utf-8"))
    assert tausweep.__version__ == project["version"] == citation["version"]
    assert codemeta["version"] == project["version"]
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## (\d+\.\d+\.\d+)", changes, re.MULTILINE)
    assert released[0] == tausweep.__version__
    assert released == sorted(released, key=lambda v: [*map(int, v.split("."))], reverse=True)


def test_citation_and_codemeta_say_what_the_project_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    codemeta = json.loads((ROOT / "codemeta.json").read_text("utf-8"))
    # What the Citation File Format 1.2.0 requires, and the type of CodeMeta 3.0.
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert codemeta["@context"] == "https://w3id.org/codemeta/3.0"
    assert codemeta["@type"] == "SoftwareSourceCode"
    assert citation["title"] == codemeta["name"] == project["name"]
    assert codemeta["description"] == project["description"]
    assert codemeta["keywords"] == project["keywords"]
    assert codemeta["license"] == f"https://spdx.org/licenses/{citation['license']}"
    assert citation["license"] == project["license"]
    assert codemeta["datePublished"] == citation["date-released"]
    assert [author["name"] for author in codemeta["author"]] == [
        author["name"] for author in citation["authors"]
    ]
    paper, cited = citation["preferred-citation"], codemeta["referencePublication"]
    assert cited["name"] == paper["title"]
    arxiv = paper["identifiers"][0]["value"].removeprefix("arXiv:")
    assert cited["url"] == f"https://arxiv.org/abs/{arxiv}"
    assert [(a["givenName"], a["familyName"]) for a in cited["author"]] == [
        (a["given-names"], a["family-names"]) for a in paper["authors"]
    ]
    required = {re.split(r"[\[<>=]", line)[0] for line in project["dependencies"]}
    assert {*codemeta["softwareRequirements"]} <= required


def test_the_workflow_catalogue_finds_what_it_asks_for() -> None:
    for name in ("workflow/Snakefile", "config/README.md", "config/config.yaml", "LICENSE"):
        assert (ROOT / name).is_file()
    assert not (ROOT / "Snakefile").exists()
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text("utf-8"))["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment"}
    profile = (ROOT / "workflow/profiles/default/profile.yaml").read_text("utf-8")
    triggers = yaml.safe_load(profile)["rerun-triggers"]
    assert usage["mandatory-flags"]["flags"] == "--rerun-triggers " + " ".join(triggers)


def test_the_configuration_s_table_names_settings_that_there_are() -> None:
    table = (ROOT / "config/README.md").read_text("utf-8")
    named = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
    keys = {key for cell in named for key in re.findall(r"`(\w+)`", cell)}
    assert len(keys) >= 10
    assert keys <= studies.Study.model_fields.keys()
