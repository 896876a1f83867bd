"""Fig. 2: the maps, their temperatures, and embeddings that have none."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import frames
from drawn_figures import degenerate, texts
from tausweep.report.figures import StudyResults, results, tsne
from tausweep.storage.layout import File


def test_tsne_names_its_classes_and_the_temperature_that_stands_in(tmp_path: Path) -> None:
    frame = frames.records(("cifar10",), (0.07, 0.3), ("contrastive",), (0,))
    frames.run_folders(tmp_path, frame, images=60, bank=80, epochs=2)
    of = StudyResults(tmp_path, frame, classes={"cifar10": ["airplane", "automobile"]})
    shown = texts("fig2_tsne", of).split("\n")
    assert {"CIFAR10, τ = 0.07", "CIFAR10, τ = 0.3 (for 0.2)"} <= {*shown}
    assert {"0 airplane", "1 automobile", "class 2", "class 9"} <= {*shown}


def test_tsne_takes_the_temperatures_closest_to_the_papers_in_ratio(tmp_path: Path) -> None:
    frame = frames.records(("svhn", "cifar10"), temperatures=(0.05, 0.1, 0.4), seeds=(0,))
    assert tsne.chosen(StudyResults(tmp_path, frame)) == (
        "cifar10",
        {0.05: [0.07], 0.1: [0.2]},
    )
    assert results.closest(0.2, [0.1, 0.4]) in (0.1, 0.4)
    with pytest.raises(ValueError, match="temperatures"):
        results.closest(0.2, [])


def test_tsne_maps_a_seeded_sample_with_its_own_labels(complete: StudyResults) -> None:
    path = complete.run_folder("cifar10", "contrastive", 0.3, 0) / File.EMBEDDINGS
    points, labels = tsne.embed(path, at_most=40)
    again, _ = tsne.embed(path, at_most=40)
    np.testing.assert_array_equal(points, again)
    assert points.shape == (40, 2)
    _, whole = results.tensors(path, "test", "test_labels")
    order = np.random.default_rng(tsne.SEED).permutation(len(whole))[:40]
    np.testing.assert_array_equal(labels, whole[order])


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_embeddings_without_a_direction_have_no_map(value: float, tmp_path: Path) -> None:
    x = degenerate("rank 1", 40).numpy()
    x[7] = value
    save_file({"test": x, "test_labels": np.arange(40) % 2}, tmp_path / "x")
    assert tsne.unmapped(tmp_path / "x") == "Embeddings without a direction:\nzero or not finite."


def test_a_map_without_labels_is_grey_and_says_so(tmp_path: Path) -> None:
    frame = frames.records(("cifar10",), (0.07, 0.3), ("contrastive",), (0,))
    frames.run_folders(tmp_path, frame, images=60, bank=80, epochs=2)
    for path in tmp_path.rglob(str(File.EMBEDDINGS)):
        tensors = load_file(path)
        save_file(tensors | {"test_labels": np.full(len(tensors["test"]), -1)}, path)
    shown = texts("fig2_tsne", StudyResults(tmp_path, frame, classes={"cifar10": []})).split("\n")
    assert "no labels" in shown
    assert not any(text.startswith("class ") for text in shown)
