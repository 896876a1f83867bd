"""Departures from the paper's protocol are found and said."""

from __future__ import annotations

from pathlib import Path

from report_page import page_of, records_of, study_of, text_of
from tausweep.report import protocol
from tausweep.study import parse


def test_the_papers_own_settings_are_no_departure() -> None:
    grid = {"temperature": list(protocol.PAPER_TEMPERATURES)}
    content = {
        "study": "paper",
        "datasets": {name: {} for name in protocol.PAPER_DATASETS},
        "baselines": False,
        "losses": {"contrastive": grid, "hard_contrastive": grid, "simple": {}, "hard_simple": {}},
    }
    found = protocol.compare(parse(content))
    assert found.departures == []
    assert found.absent == []
    assert found.scaled_down is None


def test_departures_name_setting_values_and_where() -> None:
    study = study_of(
        datasets={"cifar10": {"image_size": 16, "train_limit": 10000}, "svhn": {}},
        encoder={"width": 16},
        pretrain={"epochs": 300},
        losses={
            "contrastive": {"temperature": [0.3, 1.0]},
            "hard_simple": {"negatives": 819},
        },
        overrides=[{"loss": "contrastive", "temperature": 0.3, "views": {"flip": True}}],
    )
    found = {d.setting: d for d in protocol.compare(study).departures}
    assert set(found) == {
        "dataset.image_size", "dataset.train_limit", "encoder.width", "pretrain.epochs",
        "loss.negatives", "views.flip",
    }  # fmt: skip
    limit = found["dataset.train_limit"]
    assert (limit.paper, limit.here, limit.where, limit.smaller) == (
        "all", "10,000", "CIFAR10", True,
    )  # fmt: skip
    assert (found["encoder.width"].where, found["encoder.width"].smaller) == ("", True)
    assert not found["pretrain.epochs"].smaller
    assert found["loss.negatives"].where == "hard simple"
    assert found["views.flip"].where == "2 of 6 cells"


def test_a_folder_named_like_a_dataset_of_the_paper_is_held_against_it(tmp_path: Path) -> None:
    folder = {"kind": "folder", "path": str(tmp_path)}
    content = {"losses": {"simple": {}}, "study": "s", "baselines": False}
    own = parse(content | {"datasets": {"svhn": {"source": folder}}})
    settings = {d.setting for d in protocol.compare(own).departures}
    # Flips of the probe, where the protocol of SVHN has colours.
    assert settings == {"dataset.source", "linear.views"}
    assert not any(departure.smaller for departure in protocol.compare(own).departures)
    other = parse(content | {"datasets": {"birds": {"source": folder}}})
    assert protocol.scaled_down(other) == "birds instead of the paper's datasets"


def test_a_smaller_study_says_in_one_line_how(tmp_path: Path) -> None:
    small = study_of(
        datasets={"digits": {}}, encoder={"trunk": "resnet10"}, pretrain={"epochs": 30}
    )
    assert protocol.scaled_down(small) == (
        "Digits instead of the paper's datasets; images of 8 × 8 instead of 32 × 32 pixels; "
        "resnet10 instead of resnet18; 30 instead of 200 epochs"
    )
    text = text_of(page_of(small, records_of(small), tmp_path))
    assert (
        f"Scaled down. A miniature of the paper’s protocol: {protocol.scaled_down(small)}" in text
    )
    assert "Scaled down: see Protocol below." in text
