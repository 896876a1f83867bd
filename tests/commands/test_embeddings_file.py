"""Files of embeddings: every format gives the same numbers, and every fault its sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import save_file

from tausweep.commands import embeddings_file
from tausweep.study import StudyError

X = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
Y = np.arange(12) % 3
NAMES = np.array(["ant", "bee", "cow"])[Y]


def npy(folder: Path) -> Path:
    np.save(folder / "x.npy", X)
    np.save(folder / "y.npy", Y)
    return folder / "x.npy"


def npz(folder: Path) -> Path:
    np.savez(folder / "x.npz", features=X, label=NAMES)
    return folder / "x.npz"


def safetensors(folder: Path) -> Path:
    save_file({"emb": torch.from_numpy(X), "y": torch.from_numpy(Y)}, folder / "x.safetensors")
    return folder / "x.safetensors"


def lists(folder: Path) -> Path:
    table = arrow.table({"embedding": list(X), "label": arrow.array(NAMES.tolist())})
    parquet.write_table(table, folder / "lists.parquet")
    return folder / "lists.parquet"


def columns(folder: Path) -> Path:
    table = arrow.table({f"f{i}": X[:, i] for i in range(5)} | {"label": Y})
    parquet.write_table(table, folder / "columns.parquet")
    return folder / "columns.parquet"


def fixed_lists(folder: Path) -> Path:
    values = arrow.FixedSizeListArray.from_arrays(arrow.array(X.reshape(-1)), 5)
    parquet.write_table(arrow.table({"x": values, "target": Y}), folder / "fixed.parquet")
    return folder / "fixed.parquet"


@pytest.mark.parametrize("write", [npz, safetensors, lists, columns, fixed_lists])
def test_every_format_gives_the_same(write: Any, tmp_path: Path) -> None:
    found = embeddings_file.read(write(tmp_path))
    np.testing.assert_array_equal(found.x.numpy(), X)
    assert found.labels is not None
    np.testing.assert_array_equal(found.labels.numpy(), Y)


def test_an_npy_has_no_labels_but_those_of_a_file(tmp_path: Path) -> None:
    path = npy(tmp_path)
    assert embeddings_file.read(path).labels is None
    found = embeddings_file.read(path, labels=tmp_path / "y.npy")
    assert found.labels is not None
    assert found.labels.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("label\n" + "\n".join(NAMES), None),
        ("\n".join(map(str, Y)), None),
        ("species\n" + "\n".join(NAMES), None),
        ("\n".join(NAMES).replace(NAMES[0], "NA"), None),
        ("label\n" + "\n".join(NAMES) + "\n\n", None),
        ("id,kind\n" + "\n".join(f"{i},{n}" for i, n in enumerate(NAMES)), "kind"),
        ("id,class\n" + "\n".join(f"{i},{n}" for i, n in enumerate(NAMES)), None),
    ],
)
def test_labels_of_a_csv(text: str, column: str | None, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(text + "\n", encoding="utf-8")
    found = embeddings_file.read(npy(tmp_path), None, tmp_path / "labels.csv", column)
    assert found.labels is not None
    assert found.labels.tolist() == Y.tolist()


def test_a_run_s_embeddings_are_measured_on_the_test_split(tmp_path: Path) -> None:
    tensors = {
        "train": torch.from_numpy(X.copy()),
        "test": torch.from_numpy(X[:4].copy()),
        "train_labels": torch.from_numpy(Y.copy()),
        "test_labels": torch.from_numpy(Y[:4].copy()),
        "bank": 2 * torch.from_numpy(X),
    }
    save_file(tensors, tmp_path / "embeddings.safetensors")
    found = embeddings_file.read(tmp_path / "embeddings.safetensors")
    assert (found.x.shape, found.train is not None and found.train.shape) == ((4, 5), (12, 5))
    assert found.labels is not None
    assert found.labels.tolist() == Y[:4].tolist()


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int8, np.uint16, ">f4", np.bool_])
def test_numbers_of_any_type_are_read(kind: Any, tmp_path: Path) -> None:
    values = (np.arange(12).reshape(4, 3) + 1).astype(kind)
    np.save(tmp_path / "x.npy", values)
    found = embeddings_file.read(tmp_path / "x.npy").x
    wanted = torch.float64 if kind == np.float64 else torch.float32
    assert found.dtype == wanted
    np.testing.assert_array_equal(found.numpy(), values.astype(np.float64))


def test_bfloat16_is_read(tmp_path: Path) -> None:
    save_file({"x": torch.ones(3, 2, dtype=torch.bfloat16)}, tmp_path / "x.safetensors")
    assert embeddings_file.read(tmp_path / "x.safetensors").x.dtype == torch.float32


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.ones(7), r"a 1-dimensional array \(7\) is not allowed; n x d is needed"),
        (np.ones((4, 3, 2, 2)), "a 4-dimensional array"),
        (np.ones((1, 4)), "1 rows given; two or more are needed"),
        (np.ones((4, 2)) * 1j, "complex128 values are not allowed"),
        (np.array([["a", "b"]] * 3), "<U1 values are not allowed"),
        (
            np.array([[1, 2], [np.nan, 2], [np.inf, 1]]),
            "2 of 3 rows hold NaN or infinity, .* row 1",
        ),
        (np.array([[1, 2], [0, 0]]), "1 of 2 rows are zero and have no direction, .* row 1"),
        (np.ones((3, 0)), "n x d is needed"),
    ],
)
def test_arrays_that_are_no_embeddings(values: Any, said: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(StudyError, match=said):
        embeddings_file.read(tmp_path / "x.npy")


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}, None], dtype=object)
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "x.npz", embeddings=objects)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(StudyError, match="holds Python objects, which are not read"):
            embeddings_file.read(tmp_path / name)


@pytest.mark.parametrize("suffix", embeddings_file.SUFFIXES)
def test_damaged_and_missing_files(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    with pytest.raises(StudyError, match="there is no such file"):
        embeddings_file.read(path)
    for content in (b"", b"nonsense that is no such file"):
        path.write_bytes(content)
        with pytest.raises(StudyError, match=r"cannot be read as|holds Python objects"):
            embeddings_file.read(path)


def test_an_array_that_is_not_clear_is_asked_for(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", first=X, second=2 * X)
    with pytest.raises(StudyError, match=r"name it with --key NAME .*first \(12 x 5\)"):
        embeddings_file.read(tmp_path / "x.npz")
    found = embeddings_file.read(tmp_path / "x.npz", "second")
    np.testing.assert_array_equal(found.x.numpy(), 2 * X)
    with pytest.raises(StudyError, match="did you mean second"):
        embeddings_file.read(tmp_path / "x.npz", "secnd")


def test_weights_are_told_from_embeddings(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.ones(4, 3, 7, 7)}, tmp_path / "x.safetensors")
    with pytest.raises(StudyError, match="seems to hold the weights of an encoder"):
        embeddings_file.read(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (Y[:11], "11 labels given, but .* has 12 embeddings"),
        (Y + 0.5, "the label at row 0 .* is 0.5"),
        (np.where(Y == 1, np.nan, Y), "the label at row 1"),
        (np.stack([Y, Y], axis=1), "one a row is needed"),
    ],
)
def test_bad_labels(labels: Any, said: str, tmp_path: Path) -> None:
    path = npy(tmp_path)
    np.save(tmp_path / "bad.npy", labels)
    with pytest.raises(StudyError, match=said):
        embeddings_file.read(path, labels=tmp_path / "bad.npy")


def test_an_empty_label_of_a_csv(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("id,label\n" + "".join(f"{i},a\n" for i in range(11)) + "11,\n")
    with pytest.raises(StudyError, match="the label at row 11"):
        embeddings_file.read(npy(tmp_path), labels=tmp_path / "l.csv")


def test_a_blank_line_is_an_empty_label(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("label\na\n\n" + "a\n" * 10)
    with pytest.raises(StudyError, match="the label at row 1 "):
        embeddings_file.read(npy(tmp_path), labels=tmp_path / "l.csv")


def test_a_file_that_is_none_is_not_said_to_hold_objects(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"garbage" * 10)
    with pytest.raises(StudyError, match="cannot be read as a NumPy array: it is damaged"):
        embeddings_file.read(tmp_path / "x.npy")


def test_a_label_column_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("id,kind\n1,a\n")
    with pytest.raises(StudyError, match="name it with --label-column NAME"):
        embeddings_file.read(npy(tmp_path), labels=tmp_path / "l.csv")
    with pytest.raises(StudyError, match="did you mean kind"):
        embeddings_file.read(npy(tmp_path), labels=tmp_path / "l.csv", label_column="kinds")


def test_lists_of_different_lengths(tmp_path: Path) -> None:
    parquet.write_table(arrow.table({"x": [[1.0, 2.0], [1.0]]}), tmp_path / "x.parquet")
    with pytest.raises(StudyError, match="rows of different lengths"):
        embeddings_file.read(tmp_path / "x.parquet")
