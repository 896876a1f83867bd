"""Merge keys in study files: as safe_load takes them, with no key named twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tausweep.study import StudyError, load

STUDY = """
study: merged
seeds: [0]
datasets: {digits: {}}
baselines: false
losses: {contrastive: {temperature: [0.1]}}
overrides:
  - {temperature: 0.1, pretrain: &p {lr: 0.1, epochs: 3}}
  - temperature: 0.1
    pretrain:
      <<: *p
      epochs: 5
"""


def test_a_merge_key_brings_what_the_mapping_does_not_name(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    pretrain = load(path).runs()[0].settings.pretrain
    assert (pretrain.lr, pretrain.epochs) == (0.1, 5)


def test_a_key_beside_a_merge_key_stands_once(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY + "      epochs: 6\n", encoding="utf-8")
    with pytest.raises(StudyError, match="'epochs' is listed twice"):
        load(path)
