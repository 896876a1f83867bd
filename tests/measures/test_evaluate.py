"""Evaluation measures a run, leaves it as it was, and recomputes only what changed."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import tolerance
from pictures import array, needs_eight_bit_kernel, originals, tree
from tausweep import data as datasets
from tausweep.data.decoding import decode
from tausweep.data.prepared import Prepared
from tausweep.measures.embed import Embedder
from tausweep.measures.evaluate import Evaluation, evaluate
from tausweep.model.encoder import Encoder
from tausweep.results import records
from tausweep.study import MEASURED, StudyError
from tausweep.study.columns import CLASSIFICATION, GEOMETRY, PENALTY, SEPARATION
from tausweep.training.checkpoints import load_tensors, save_tensors, tensors_digest
from tiny_run import run_settings
from trained_run import trained

pytestmark = pytest.mark.numerical

# A GPU machine has not got it.
reference = pytest.importorskip("torchvision.transforms.v2.functional")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(digits: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(run_settings("hard_contrastive", 0.3), digits, tmp_path_factory.mktemp("run"))


def evaluation(
    folder: Path, data: Prepared, said: list[str] | None = None, **sections: Any
) -> Evaluation:
    settings = run_settings("hard_contrastive", 0.3, **sections)
    return Evaluation(settings, folder, data, CPU, ([] if said is None else said).append)


@pytest.fixture(scope="module")
def row(folder: Path, digits: Prepared) -> dict[str, float]:
    return records.flat(evaluate(evaluation(folder, digits)))


def test_evaluation_leaves_encoder_and_bank_bit_identical(
    folder: Path, digits: Prepared, tmp_path: Path
) -> None:
    for file in folder.glob("encoder.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    before = (tmp_path / "encoder.safetensors").read_bytes()
    measured = evaluation(tmp_path, digits)
    state = tensors_digest(measured.embedder.encoder.state_dict())
    bank = measured.bank.clone()
    evaluate(measured)
    assert tensors_digest(measured.embedder.encoder.state_dict()) == state
    assert torch.equal(measured.bank, bank)
    assert (tmp_path / "encoder.safetensors").read_bytes() == before
    assert all(p.grad is None for p in measured.embedder.encoder.parameters())
    trunk: Any = measured.embedder.encoder.trunk
    assert int(trunk.stem.norm.num_batches_tracked) > 0


def network_error(expected: torch.Tensor) -> float:
    """Allowed between two ways of computing features or embeddings of the tiny run's trunk."""
    # Ten layers of at most 64 channels of 3 x 3, and a head.
    return tolerance.network(11, 9 * 64) * float(expected.abs().max())


def test_numbers_follow_from_the_stored_embeddings_in_float64(
    folder: Path, row: dict[str, float]
) -> None:
    """Uniformity, tolerance and kNN recomputed with NumPy alone."""
    stored = load_file(folder / "embeddings.safetensors")
    x, labels = stored["test"].astype(np.float64), stored["test_labels"]
    n, d = x.shape
    short = tolerance.unit(d, torch.float32)  # what a stored row may lack to the length 1
    tolerance.check(np.linalg.norm(x, axis=1), 1, short)
    s = x @ x.T
    upper = np.triu_indices(len(x), 1)
    uniformity = -math.log(np.exp(-2 * (2 - 2 * s[upper])).mean())
    same = (labels[:, None] == labels[None, :])[upper]
    # A cosine changes by twice that, the exponent 4 s of the uniformity by four times as much.
    allowed = tolerance.uniformity(n, d, 2, torch.float32) + 8 * short
    assert row["uniformity"] == pytest.approx(uniformity, rel=0, abs=allowed)
    for name, expected in (
        ("tolerance", s[upper][same].mean()),
        ("tolerance_literal", (s[upper] * same).mean()),
        ("interclass_similarity", s[upper][~same].mean()),
    ):
        allowed = 2 * short + tolerance.pair_mean(n, d, 2 * int(min(same.sum(), (~same).sum())))
        assert row[name] == pytest.approx(expected, rel=0, abs=allowed), name
    between = s[upper][~same].mean()
    assert row["tolerance_gap"] == pytest.approx(s[upper][same].mean() - between, abs=2 * allowed)
    assert row["common_mean"] == pytest.approx(np.sum(x.mean(axis=0) ** 2), abs=allowed)
    nearest = [np.sort(s[i][labels != labels[i]])[-10:].mean() for i in range(len(s))]
    assert row["nearest_interclass_similarity"] == pytest.approx(np.mean(nearest), abs=allowed)
    assert row["test_images"] == len(x)
    right = load_file(folder / "correct.safetensors")
    assert {name: (part.dtype, part.shape) for name, part in right.items()} == dict.fromkeys(
        ("linear", "knn", "knn_bank"), (np.dtype(np.bool_), labels.shape)
    )
    assert row["linear_accuracy"] == 100 * right["linear"].mean()
    for keys, column in (("train", "knn_accuracy"), ("bank", "knn_accuracy_bank")):
        k = stored[keys].astype(np.float64)
        k /= np.linalg.norm(k, axis=1, keepdims=True)
        similarity = x @ k.T
        votes = np.zeros((len(x), 10))
        for i, line in enumerate(similarity):
            for j in np.argsort(-line, kind="stable")[:10]:
                votes[i, stored["train_labels"][j]] += math.exp((line[j] - line.max()) / 0.07)
        expected = votes.argmax(1) == labels
        assert row[column] == 100 * expected.mean()
        np.testing.assert_array_equal(right[column.replace("_accuracy", "")], expected)


def test_every_column_of_the_record_has_a_number(row: dict[str, float]) -> None:
    wanted = {*CLASSIFICATION, *GEOMETRY, *SEPARATION, *PENALTY}
    assert {name for name in wanted if row.get(name) is None} == set()
    assert all(math.isfinite(row[name]) for name in wanted)
    assert row["linear_accuracy_best"] >= row["linear_accuracy"] > 10


def test_a_second_evaluation_makes_nothing_and_gives_the_same(
    folder: Path, digits: Prepared, row: dict[str, float]
) -> None:
    said: list[str] = []
    assert records.flat(evaluate(evaluation(folder, digits, said))) == row
    assert said == []


def test_a_changed_setting_recomputes_its_measure_alone(
    folder: Path, digits: Prepared, row: dict[str, float]
) -> None:
    said: list[str] = []
    changed = records.flat(evaluate(evaluation(folder, digits, said, knn={"k": 3})))
    assert said == ["knn"]
    different = {name for name in row if row[name] != changed[name]}
    assert different <= {"knn_accuracy", "knn_accuracy_bank"}
    evaluate(evaluation(folder, digits, said))


def test_damaged_measure_and_embeddings_are_made_again(
    folder: Path, digits: Prepared, row: dict[str, float], tmp_path: Path
) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "geometry.json").write_text('{"made_of": "x", "val')
    embeddings = tmp_path / "embeddings.safetensors"
    embeddings.write_bytes(embeddings.read_bytes()[:-7])
    assert records.flat(evaluate(evaluation(tmp_path, digits))) == row
    assert embeddings.read_bytes() == (folder / "embeddings.safetensors").read_bytes()


@pytest.mark.parametrize("damage", ["cut", "deleted"])
def test_lost_correctness_of_images_is_made_again_alone(
    damage: str, folder: Path, digits: Prepared, row: dict[str, float], tmp_path: Path
) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    correct = tmp_path / "correct.safetensors"
    if damage == "cut":
        correct.write_bytes(correct.read_bytes()[:-7])
    else:
        correct.unlink()
    said: list[str] = []
    assert records.flat(evaluate(evaluation(tmp_path, digits, said))) == row
    assert [line for line in said if "damaged" not in line] == ["linear", "features", "knn"]
    assert correct.read_bytes() == (folder / "correct.safetensors").read_bytes()
    # One measure anew leaves what the other has said of the images as it is.
    said.clear()
    evaluate(evaluation(tmp_path, digits, said, knn={"k": 3}))
    assert said == ["knn"]
    before, after = load_file(folder / "correct.safetensors"), load_file(correct)
    assert np.array_equal(before["linear"], after["linear"])
    assert after.keys() == before.keys()


def test_features_do_not_depend_on_the_batch(
    folder: Path, digits: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """130 images: the last batch of 32 has two rows, which must be the last two."""
    embedder = evaluation(folder, digits).embedder
    whole = embedder.features(digits.train_images)
    for batch in (1, 32):
        monkeypatch.setattr("tausweep.measures.embed.BATCH", batch)
        found = embedder.features(digits.train_images)
        tolerance.check(found, whole, network_error(whole))


def test_missing_or_extra_weight_is_an_error_never_random_weights(
    folder: Path, digits: Prepared, tmp_path: Path
) -> None:
    tensors, metadata = load_tensors(folder / "encoder.safetensors")
    tensors.pop("head.weight")
    save_tensors(tmp_path / "encoder.safetensors", tensors, metadata)
    with pytest.raises(RuntimeError, match=r"head\.weight"):
        evaluate(evaluation(tmp_path, digits))


def test_encoder_of_other_settings_is_refused(folder: Path, digits: Prepared) -> None:
    with pytest.raises(StudyError, match="settings_digest"):
        evaluate(evaluation(folder, digits, pretrain={"lr": 0.5}))


def test_run_that_is_not_pretrained_is_named(digits: Prepared, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"encoder\.safetensors: is missing"):
        evaluate(evaluation(tmp_path, digits))


def test_diverged_run_has_no_measures(folder: Path, digits: Prepared, tmp_path: Path) -> None:
    tensors, metadata = load_tensors(folder / "encoder.safetensors")
    save_tensors(tmp_path / "encoder.safetensors", tensors, metadata | {"outcome": "diverged"})
    assert evaluate(evaluation(tmp_path, digits)) == {}


def test_encoder_whose_features_overflow_is_diverged_not_a_crash(
    folder: Path, digits: Prepared, tmp_path: Path
) -> None:
    tensors, metadata = load_tensors(folder / "encoder.safetensors")
    huge = {k: t * 1e30 if "weight" in k else t for k, t in tensors.items()}
    save_tensors(tmp_path / "encoder.safetensors", huge, metadata)
    said: list[str] = []
    assert evaluate(evaluation(tmp_path, digits, said)) == {}
    assert said[-1] == "diverged: features are not finite"


def with_head(folder: Path, here: Path, bias: float) -> Path:
    """The run with a head that gives every image the same output."""
    tensors, metadata = load_tensors(folder / "encoder.safetensors")
    dead = {name: t * 0 for name, t in tensors.items() if name.startswith("head.")}
    dead["head.bias"] += bias
    save_tensors(here / "encoder.safetensors", tensors | dead, metadata)
    return here


def test_embeddings_without_a_direction_are_a_divergence_not_a_crash(
    folder: Path, digits: Prepared, tmp_path: Path
) -> None:
    said: list[str] = []
    assert evaluate(evaluation(with_head(folder, tmp_path, 0.0), digits, said)) == {}
    assert said[-1] == "diverged: embeddings have no direction: zero or not finite"


def test_a_collapsed_run_is_measured_and_flagged(
    folder: Path, digits: Prepared, tmp_path: Path, row: dict[str, float]
) -> None:
    lost = records.flat(evaluate(evaluation(with_head(folder, tmp_path, 0.3), digits)))
    assert (row["collapsed"], lost["collapsed"]) == (0, 1)
    assert lost["uniformity"] == pytest.approx(0, abs=1e-5)
    assert lost["tolerance"] == pytest.approx(1)
    wanted = {*CLASSIFICATION, *GEOMETRY, *SEPARATION, *PENALTY}
    assert all(math.isfinite(lost[name]) for name in wanted)


def test_probe_that_diverges_has_no_accuracy_and_the_rest_stands(
    folder: Path, digits: Prepared
) -> None:
    lost = records.flat(evaluate(evaluation(folder, digits, linear={"lr": 1e30})))
    assert lost["linear_accuracy"] is None
    assert load_file(folder / "correct.safetensors").keys() == {"knn", "knn_bank"}
    assert lost["linear_accuracy_converged"] > 10
    assert lost["uniformity"] > 0
    evaluate(evaluation(folder, digits))
    assert load_file(folder / "correct.safetensors").keys() == {"linear", "knn", "knn_bank"}


def test_knn_with_more_neighbours_than_keys_is_refused(folder: Path, digits: Prepared) -> None:
    with pytest.raises(StudyError, match=r"knn\.k: 131 is more than the 130 keys"):
        evaluate(evaluation(folder, digits, knn={"k": 131}))


def test_a_users_own_measure_is_one_file(folder: Path, digits: Prepared, tmp_path: Path) -> None:
    file = tmp_path / "spread.py"
    file.write_text(
        "def measure(embeddings):\n"
        "    x = embeddings['test']\n"
        "    return {'spread': 1 - float(x.mean(0).norm())}\n"
    )
    found = records.flat(evaluate(evaluation(folder, digits, measures={"spread": str(file)})))
    stored = load_file(folder / "embeddings.safetensors")["test"]
    assert found["spread"] == pytest.approx(
        1 - np.linalg.norm(stored.mean(0)),
        rel=0,
        abs=2 * tolerance.summed(len(stored), torch.float32),
    )
    (folder / "spread.json").unlink()


@pytest.mark.parametrize(("views", "versions"), [("none", 1), ("flip", 2), ("colour", 3)])
def test_probe_alternates_between_the_versions_of_its_setting(
    views: str, versions: int, folder: Path, digits: Prepared
) -> None:
    measured = evaluation(folder, digits, linear={"views": views, "versions": 3})
    plain = measured.features[0]
    found = measured.embedder.probe_versions(
        digits.train_images, plain, measured.settings.linear, 0
    )
    assert len(found) == versions
    assert torch.equal(found[0], plain) == (views != "colour")
    if views == "flip":
        mirrored = np.ascontiguousarray(array(digits.train_images)[:, :, ::-1])
        expected = measured.embedder.features(mirrored)
        tolerance.check(found[1], expected, network_error(expected))


@needs_eight_bit_kernel
def test_originals_are_measured_at_their_centre_and_probed_on_their_crops(tmp_path: Path) -> None:
    """ImageNet100's protocol in small: 28 of 32 pixels, and versions that differ."""
    source = {"kind": "folder", "path": str(tree(tmp_path / "in", 7))}
    dataset = {"source": source, "form": "originals", "image_size": 28}
    settings = run_settings(
        datasets={"mine": dataset},
        pretrain={"batch_size": 7, "epochs": 1},
        linear={"views": "crop", "versions": 3},
        knn={"k": 5},
    )
    datasets.prepare(settings.dataset, tmp_path / "out")
    data = datasets.load(tmp_path / "out")
    folder = trained(settings, data, tmp_path / "run")
    measured = Evaluation(settings, folder, data, CPU, lambda line: None)
    row = records.flat(evaluate(measured))
    assert all(math.isfinite(row[name]) for name in (*CLASSIFICATION, "alignment"))
    centres = []
    for i in range(len(data.test_images)):
        image = torch.from_numpy(np.array(decode(originals(data.test_images).encoded(i)))).permute(
            2, 0, 1
        )
        size = [32 * extent // min(image.shape[1:]) for extent in image.shape[1:]]
        square = reference.center_crop(reference.resize(image, size, antialias=True), [28, 28])
        centres.append(square.permute(1, 2, 0).numpy())
    features = measured.embedder.features(np.stack(centres))
    tolerance.check(measured.features[1], features, network_error(features))
    versions = measured.embedder.probe_versions(
        data.train_images, measured.features[0], settings.linear, 0
    )
    assert versions.shape == (3, *measured.features[0].shape)
    assert not torch.equal(versions[0], versions[1])


def test_embeddings_are_the_encoders_in_eval_mode_in_prepared_order(
    folder: Path, digits: Prepared
) -> None:
    tensors, _ = load_tensors(folder / "encoder.safetensors")
    settings = run_settings("hard_contrastive", 0.3)
    encoder = Encoder(settings.encoder, 5).eval()
    encoder.load_state_dict({k: t for k, t in tensors.items() if k != "bank"})
    images = torch.from_numpy(np.array(digits.test_images)).permute(0, 3, 1, 2).float() / 255
    images = (images - torch.tensor(digits.mean)[:, None, None]) / torch.tensor(digits.std)[
        :, None, None
    ]
    with torch.no_grad():
        expected = encoder(images)
    embedder = Embedder(encoder, 8, digits.mean, digits.std)
    found = embedder.embeddings(embedder.features(digits.test_images))
    tolerance.check(found, expected, network_error(expected))


def test_measure_files_hold_no_nan(folder: Path, row: dict[str, float]) -> None:
    for name in MEASURED:
        text = (folder / f"{name}.json").read_text()
        assert "NaN" not in text
        assert json.loads(text)["values"]
