"""One version everywhere, and what the workflow catalogue reads."""

from __future__ import annotations

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
    assert tausweep.__version__ == project["version"] == citation["version"]
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## (\d+\.\d+\.\d+)", changes, re.MULTILINE)
    assert released[0] == tausweep.__version__
    assert released == sorted(released, key=lambda v: [*map(int, v.split("."))], reverse=True)


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
