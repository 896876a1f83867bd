"""Read embeddings and labels from NumPy, Parquet and safetensors files, unpickling nothing."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tausweep.commands.embedded import Embedded, codes, matrix
from tausweep.study import StudyError, did_you_mean

SUFFIXES = (".npy", ".npz", ".parquet", ".safetensors")
EMBEDDINGS = ("embeddings", "embedding", "features", "feature", "emb", "x", "X")
LABELS = ("labels", "label", "y", "targets", "target", "class")
NPY, PICKLE = b"\x93NUMPY", b"\x80"
"""How files of an array and of a pickled object begin."""
LISTED = 6
"""Most arrays that an error message names."""
OBJECTS = (
    "holds Python objects, which are not read, since reading them can run code; save numbers, with "
    "embeddings.astype('float32')"
)


def read(
    path: Path,
    key: str | None = None,
    labels: Path | None = None,
    label_column: str | None = None,
) -> Embedded:
    """Read embeddings, and their labels if there are any.

    A file with both ``train`` and ``test``, such as a run's ``embeddings.safetensors``, is measured
    on ``test``; kNN and the linear classifier learn from ``train``.

    Args:
        path: One of ``SUFFIXES``.
        key: Name of the embeddings' array or column; by default the only possible one.
        labels: A CSV or ``.npy`` file with one label per row; it replaces any labels in ``path``.
        label_column: Name of the labels' array or column.

    Raises:
        StudyError: A file is missing, damaged, holds objects, or does not have what is needed.
    """
    import torch

    name = str(path)
    content = _content(path)
    if isinstance(content, Mapping):
        found, own = _chosen(content, name, key, label_column if labels is None else None)
        split = key is None and found == "test" and "train" in content
        x = matrix(content[found], f"{name}, {found}")
        given = None if own is None else content[own]
        source = f"{name}, {own}"
    else:
        x, given, source, split = matrix(content, name), None, name, False
    if labels is not None:
        given, source, split = read_labels(labels, label_column, len(x)), str(labels), False
    if given is None:
        return Embedded(name, x)
    if split and isinstance(content, Mapping) and "train_labels" in content:
        train = matrix(content["train"], f"{name}, train")
        both = np.concatenate([_array(given), _array(content["train_labels"])])
        every = codes(both, len(x) + len(train), f"{name}, labels", name)
        parts = torch.from_numpy(every).split([len(x), len(train)])
        return Embedded(name, x, parts[0], train, parts[1])
    return Embedded(name, x, torch.from_numpy(codes(_array(given), len(x), source, name)))


def read_labels(path: Path, column: str | None = None, count: int | None = None) -> Any:
    """Read one label per row from a CSV or ``.npy`` file.

    Args:
        path: The file; a CSV file without a header must have a single column.
        column: The column of a CSV file; by default one of ``LABELS``, or the only one.
        count: Number of embeddings. A single column of one row more has a header.

    Raises:
        StudyError: There is no such file or column.
    """
    _there(path)
    if path.suffix.lower() == ".npy":
        return _numpy(path)
    table = table_of(path)
    headed = table.columns[0] in LABELS or len(table) == count
    if column is None and len(table.columns) == 1 and not headed:
        return _table(path, header=None).iloc[:, 0].to_numpy()
    return table[label_column(table.columns, str(path), column)].to_numpy()


def table_of(path: Path) -> Any:
    """A CSV file with a header, as a DataFrame.

    Raises:
        StudyError: It cannot be read.
    """
    return _table(path, header=0)


def label_column(columns: Any, name: str, wanted: str | None) -> str:
    """The column of the labels: the requested one, else one of ``LABELS``, else the only one.

    Raises:
        StudyError: There is no such column, or several could be meant.
    """
    known = [str(column) for column in columns]
    if wanted is not None:
        if wanted not in known:
            raise StudyError(
                f"--label-column {wanted}: {name} has no such column"
                f"{did_you_mean(wanted, known)}; it has {', '.join(known)}"
            )
        return wanted
    found = [column for column in LABELS if column in known] or (known if len(known) == 1 else [])
    if not found:
        raise StudyError(
            f"{name}: no column is called {', '.join(LABELS[:2])} or similar; name it with "
            f"--label-column NAME (there are {', '.join(known)})"
        )
    return found[0]


def _table(path: Path, header: int | None) -> Any:
    import pandas as pd

    _there(path)
    try:
        # An empty cell is a missing label, the text NA is not. A blank line is an empty cell of the
        # only column, but behind the last row it is nothing.
        table = pd.read_csv(
            path, header=header, keep_default_na=False, na_values=[""], skip_blank_lines=False
        )
        while len(table) and table.iloc[-1].isna().all():
            table = table.iloc[:-1]
        return table
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise StudyError(f"{path}: cannot be read as CSV: {error}") from None


def _there(path: Path) -> None:
    if not path.is_file():
        raise StudyError(f"{path}: there is no such file")


def _content(path: Path) -> Any:
    """The content of a file: one array, or several by name."""
    _there(path)
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return safetensors(path)
    if suffix == ".parquet":
        return _parquet(path)
    if suffix == ".npz":
        return _zipped(path)
    return _numpy(path)


def _numpy(path: Path) -> Any:
    try:
        found = np.load(path, allow_pickle=False)
    except ValueError as error:
        # NumPy speaks of pickles wherever its own mark is missing.
        if "pickle" in str(error) and not path.read_bytes()[:6].startswith((NPY, PICKLE)):
            raise StudyError(
                f"{path}: cannot be read as a NumPy array: it is damaged, or is none"
            ) from None
        if "pickle" in str(error):
            raise StudyError(f"{path}: {OBJECTS}") from None
        raise StudyError(f"{path}: cannot be read as a NumPy array: {error}") from None
    except (EOFError, OSError) as error:
        raise StudyError(f"{path}: cannot be read as a NumPy array: {error}") from None
    if not isinstance(found, np.ndarray):
        raise StudyError(f"{path}: is an archive of arrays; name it .npz")
    return found


def _zipped(path: Path) -> dict[str, Any]:
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as found:
            for name in found.files:
                try:
                    arrays[name] = found[name]
                except ValueError as error:
                    if "pickle" in str(error):
                        raise StudyError(f"{path}, {name}: {OBJECTS}") from None
                    raise
    except StudyError:
        raise
    except (ValueError, EOFError, OSError, AttributeError, zipfile.BadZipFile) as error:
        raise StudyError(f"{path}: cannot be read as NumPy's .npz: {error}") from None
    return arrays


def safetensors(path: Path) -> dict[str, Any]:
    """Tensors of a safetensors file by their names.

    Raises:
        StudyError: The file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _there(path)
    try:
        tensors: dict[str, Any] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read as safetensors: {error}") from None
    return tensors


def _parquet(path: Path) -> dict[str, Any]:
    """Arrays by name. A column of lists is an n x d array; otherwise all float columns form one."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise StudyError(
            f"{path}: reading Parquet needs pyarrow; pip install 'tausweep[parquet]'"
        ) from None
    try:
        table = parquet.read_table(path)
    except (arrow.ArrowException, OSError) as error:
        raise StudyError(f"{path}: cannot be read as Parquet: {error}") from None
    columns: dict[str, Any] = {}
    floats = []
    for name in table.column_names:
        column = table[name].combine_chunks()
        kind = column.type
        if (
            arrow.types.is_list(kind)
            or arrow.types.is_large_list(kind)
            or arrow.types.is_fixed_size_list(kind)
        ):
            columns[name] = _of_lists(path, name, column)
        else:
            columns[name] = column.to_numpy(zero_copy_only=False)
            if arrow.types.is_floating(kind):
                floats.append(name)
    if floats and not any(getattr(column, "ndim", 1) == 2 for column in columns.values()):
        together = np.stack([columns.pop(name) for name in floats], axis=1)
        columns["embeddings"] = together
    return columns


def _of_lists(path: Path, name: str, column: Any) -> Any:
    lengths = {None if row is None else len(row) for row in column}
    if len(lengths) != 1 or None in lengths:
        found = ", ".join(sorted(map(str, lengths))[:3])
        raise StudyError(
            f"{path}, {name}: rows of different lengths ({found}); each embedding needs the same"
        )
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def _chosen(
    content: Mapping[str, Any], name: str, key: str | None, label_key: str | None
) -> tuple[str, str | None]:
    """Names of the embeddings and, if there are any, of the labels."""
    shapes = [f"{k} ({' x '.join(map(str, v.shape))})" for k, v in content.items()]
    listed = ", ".join(shapes[:LISTED]) + (
        f" and {len(shapes) - LISTED} more" * (len(shapes) > LISTED)
    )
    if key is None and any(v.ndim == 4 for v in content.values()):
        raise StudyError(
            f"{name}: seems to hold the weights of an encoder; name images to embed with --images "
            f"DIR (there are {listed})"
        )
    if key is not None and key not in content:
        raise StudyError(
            f"--key {key}: {name} has no such array{did_you_mean(key, content)}; it has {listed}"
        )
    if key is None:
        matrices = [k for k, v in content.items() if v.ndim == 2]
        named = [k for k in (*EMBEDDINGS, "test") if k in matrices]
        found = named[:1] or (matrices if len(matrices) == 1 else [])
        if not found:
            raise StudyError(
                f"{name}: it is not clear which array holds the embeddings; name it with --key "
                f"NAME (there are {listed or 'none'})"
            )
        key = found[0]
    if label_key is not None:
        return key, label_column(content, name, label_key)
    names = (f"{key}_labels", *LABELS) if key in ("train", "test") else LABELS
    return key, next((k for k in names if k in content and k != key), None)


def _array(values: Any) -> Any:
    return values.numpy() if hasattr(values, "numpy") and not hasattr(values, "iloc") else values
