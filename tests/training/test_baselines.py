"""Baselines: what a loss has to beat is measured like any run, and nothing of it was trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

import tiny_run
import tolerance
from pictures import array
from tausweep import cli
from tausweep import data as datasets
from tausweep.model.encoder import Encoder
from tausweep.results import records
from tausweep.storage.layout import Layout
from tausweep.study import BASELINES, RunSettings, StudyError, parse
from tausweep.study.columns import PENALTY
from tausweep.training.checkpoints import load_tensors

pytestmark = pytest.mark.numerical

STUDY = tiny_run.STUDY | {
    "study": "beaten",
    "seeds": [3],
    "datasets": {"digits": {"train_limit": 300, "test_limit": 100}},
    "baselines": True,
    "losses": {"contrastive": {"temperature": [0.3]}, "untrained": {}, "raw_pixels": {}},
    "pretrain": {"epochs": 2},
    "linear": {"epochs": 3},
    "knn": {"k": 1},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run's folder of each baseline, pretrained and evaluated by the commands."""
    root = tmp_path_factory.mktemp("baselines")
    file = root / "beaten.yaml"
    file.write_text(json.dumps(STUDY))
    results = ["--results", str(root / "results")]
    assert cli.main(["prepare", str(file), *results]) == 0
    for name in BASELINES:
        for command in ("pretrain", "evaluate"):
            run = f"digits/{name}/none/seed3"
            assert cli.main([command, str(file), "--run", run, *results]) == 0
    return {name: root / "results/beaten/runs/digits" / name / "none/seed3" for name in BASELINES}


def settings(name: str) -> RunSettings:
    (run,) = [run for run in parse(STUDY).runs() if run.loss == name]
    return run.settings


def test_baselines_run_beside_the_losses_unless_they_are_switched_off() -> None:
    study = STUDY | {"losses": {"contrastive": {"temperature": [0.3]}}}
    assert [run.loss for run in parse(study).runs()] == ["contrastive", *BASELINES]
    assert [run.loss for run in parse(study | {"baselines": False}).runs()] == ["contrastive"]
    named = study | {"baselines": False, "losses": {"simple": {}, "untrained": {}}}
    assert [run.loss for run in parse(named).runs()] == ["simple", "untrained"]
    # They are the runs that they are when they are named.
    for one, two in zip(parse(STUDY).runs(), parse(study).runs(), strict=True):
        assert one == two


def test_raw_pixels_of_a_large_image_are_averaged_to_32() -> None:
    large = parse(STUDY | {"datasets": {"digits": {"image_size": 64}}}).runs()[-1].settings
    assert large.encoder.dim == 3 * 32 * 32
    views = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = Encoder(large.encoder, seed=0).trunk(views)
    expected = views.unflatten(3, (32, 2)).unflatten(2, (32, 2)).double().mean((3, 5)).flatten(1)
    torch.testing.assert_close(features.double(), expected, rtol=0, atol=8 * 2.0**-24)


def test_an_untrained_encoder_has_the_weights_of_its_seed(folders: dict[str, Path]) -> None:
    tensors, _ = load_tensors(folders["untrained"] / "encoder.safetensors")
    fresh = Encoder(settings("untrained").encoder, seed=3)
    for name, parameter in fresh.named_parameters():
        assert torch.equal(tensors[name], parameter)


def test_its_batch_norm_has_seen_the_images(folders: dict[str, Path]) -> None:
    tensors, _ = load_tensors(folders["untrained"] / "encoder.safetensors")
    steps = {int(t) for name, t in tensors.items() if name.endswith("num_batches_tracked")}
    assert steps == {3}  # 300 images by 128
    variances = [t for name, t in tensors.items() if name.endswith("running_var")]
    assert all((t != 1).all() for t in variances)


def test_the_embedding_of_raw_pixels_is_the_normalised_image(folders: dict[str, Path]) -> None:
    tensors, _ = load_tensors(folders["raw_pixels"] / "embeddings.safetensors")
    run = settings("raw_pixels").dataset
    data = datasets.load(Layout(folders["raw_pixels"].parents[5]).prepared(run))
    pixels = (array(data.test_images) / 255 - np.array(data.mean)) / np.array(data.std)
    flat = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
    wanted = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    allowed = 2 * tolerance.unit(flat.shape[1], torch.float32)
    tolerance.check(tensors["test"], wanted, allowed * np.abs(wanted).max())


def test_one_neighbour_of_raw_pixels_is_scikit_learns(folders: dict[str, Path]) -> None:
    e, _ = load_tensors(folders["raw_pixels"] / "embeddings.safetensors")
    peer = KNeighborsClassifier(1, algorithm="brute").fit(e["train"], e["train_labels"])
    wanted = 100 * float(peer.score(e["test"], e["test_labels"]))
    assert records.read(folders["raw_pixels"] / "record.json")["columns"][
        "knn_accuracy"
    ] == pytest.approx(wanted)


@pytest.mark.parametrize("name", BASELINES)
def test_what_speaks_of_a_trained_bank_is_left_out(name: str, folders: dict[str, Path]) -> None:
    columns = records.read(folders[name] / "record.json")["columns"]
    assert columns["status"] == "complete"
    absent = ("train_loss", "images_per_second", "knn_accuracy_bank", "positive_similarity")
    assert [columns[column] for column in (*absent, *PENALTY)] == [None] * 11
    present = ("linear_accuracy", "linear_accuracy_converged", "knn_accuracy", "tolerance")
    assert all(columns[column] is not None for column in present)


def test_baselines_do_not_change_with_the_length_of_training() -> None:
    longer = parse(STUDY | {"pretrain": {"epochs": 50}})
    assert {
        r.loss for r in longer.runs() if r.settings in [s.settings for s in parse(STUDY).runs()]
    } == set(BASELINES)


def test_a_baseline_takes_no_temperature() -> None:
    with pytest.raises(
        StudyError, match=r"losses.untrained.temperature: untrained has no temperature"
    ):
        parse(STUDY | {"losses": {"untrained": {"temperature": [0.3]}}})


def test_pixels_cannot_be_trained() -> None:
    with pytest.raises(StudyError, match="pixels has nothing to train"):
        parse(STUDY | {"encoder": {"trunk": "pixels"}, "losses": {"simple": {}}})
