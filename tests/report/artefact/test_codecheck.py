"""The CODECHECK manifest by the rules of its specification 1.0 that are the author's."""

from __future__ import annotations

from pathlib import Path

import yaml

import exported
from tausweep.report.artefact import codecheck


def test_the_manifest_lists_outputs_that_are_there(tmp_path: Path) -> None:
    folder = exported.demo(tmp_path / "demo")
    text = (folder / "codecheck.yml").read_text(encoding="utf-8")
    assert text.startswith("---\n")
    content = yaml.safe_load(text)
    assert content["version"] == codecheck.SPECIFICATION
    assert content["paper"]["reference"] == "https://arxiv.org/abs/2012.09740"
    assert [author["name"] for author in content["paper"]["authors"]] == [
        "Feng Wang",
        "Huaping Liu",
    ]
    files = [entry["file"] for entry in content["manifest"]]
    assert files[:2] == ["demo/tables/table1.csv", "demo/tables/full.csv"]
    assert "demo/figures/fig4_uniformity.svg" in files
    for entry in content["manifest"]:
        assert entry["comment"]
        assert not Path(entry["file"]).is_absolute()
        assert (folder / entry["file"]).is_file()
    # What only a codechecker can say is left to them.
    assert not {"codechecker", "certificate", "report", "summary"} & content.keys()
