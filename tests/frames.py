"""Synthetic records and run folders for tests: the formats are real, the numbers made up.

The numbers follow the published ones (interpolated over log temperature, noise a seed), so that
tables and figures look as they will.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from tausweep.measures.sphere_dimension import effective_dimension
from tausweep.results import published
from tausweep.results.records import ALONG_IDENTITY
from tausweep.study import LOSSES, TEMPERATURE_FREE, canonical
from tausweep.study.columns import ALONG, COLUMNS

GRID = (0.05, 0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
NEGATIVES = tuple(f"negative_similarity_{k}" for k in range(1, 11))


def records(
    datasets: Sequence[str] = ("cifar10", "cifar100"),
    temperatures: Sequence[float] = GRID,
    losses: Sequence[str] = LOSSES,
    seeds: Sequence[int] = (0, 1, 2),
    noise: float = 1.0,
) -> pd.DataFrame:
    """Records of a whole study, every run complete."""
    rows = [
        _row(dataset, loss, temperature, seed, noise)
        for dataset in datasets
        for loss in losses
        for temperature in ([None] if loss in TEMPERATURE_FREE else temperatures)
        for seed in seeds
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"temperature": float})


def along(frame: pd.DataFrame, shares: Sequence[float] = (0.25, 0.5, 1.0)) -> pd.DataFrame:
    """Measures along training of every complete run of the records; the last are the records'."""
    rows = []
    for row in frame[frame["status"] == "complete"].to_dict("records"):
        for share in shares:
            part = 1 - np.exp(-4 * share) if share < 1 else 1.0
            measured = {name: part * row[name] for name in ALONG if name in row}
            measured["linear_accuracy_short"] = part * row["linear_accuracy"] - 1
            place = {name: row[name] for name in ALONG_IDENTITY[:5]}
            rows.append({**place, "share": share, "epoch": round(200 * share), **measured})
    return pd.DataFrame(rows, columns=[*ALONG_IDENTITY, *ALONG]).astype({"temperature": float})


def mark(
    frame: pd.DataFrame,
    status: str,
    *,
    dataset: str | None = None,
    loss: str | None = None,
    temperature: float | None = None,
    seed: int | None = None,
) -> pd.DataFrame:
    """The records with the chosen runs in another status, their measurements gone."""
    chosen = pd.Series(True, index=frame.index)
    wanted = {"dataset": dataset, "loss": loss, "temperature": temperature, "seed": seed}
    for column, value in wanted.items():
        if value is not None:
            chosen &= frame[column] == value
    assert chosen.any(), wanted
    changed = frame.copy()
    changed.loc[chosen, "status"] = status
    first, last = COLUMNS.index("linear_accuracy"), COLUMNS.index("alpha")
    changed.loc[chosen, list(COLUMNS[first : last + 1])] = np.nan
    return changed


def named_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows by the names of their columns."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _row(
    dataset: str, loss: str, temperature: float | None, seed: int, noise: float
) -> dict[str, object]:
    place = [*map(ord, f"{dataset}{loss}{canonical(temperature)}"), seed]
    rng = np.random.default_rng(place)
    tau = temperature or {"nearest_negative": 0.03}.get(loss, 3.0)
    accuracy = _published("linear_accuracy", dataset, loss, tau) + 0.3 * noise * rng.normal()
    spread = _published("uniformity", dataset, loss, tau) + 0.01 * noise * rng.normal()
    tolerance = _published("tolerance", dataset, loss, tau) * (1 + 0.02 * noise * rng.normal())
    dimension = effective_dimension(spread)
    geometry = {
        "uniformity": spread,
        "tolerance": tolerance,
        "tolerance_literal": tolerance / 10,
        "interclass_similarity": tolerance / 8,
        "tolerance_gap": tolerance - tolerance / 8,
        "nearest_interclass_similarity": tolerance / 2,
        "common_mean": tolerance / 10,
        "alignment": 0.9 - 0.5 * tolerance,
        "effective_dimension": dimension,
        "rankme": 0.6 * dimension + 1,
        "wasserstein_uniformity": -0.9 + 0.2 * spread,
    }
    positive, negatives = _similarities(tau, loss)
    return {
        "study": "synthetic",
        "dataset": dataset,
        "loss": loss,
        "temperature": temperature,
        "seed": seed,
        "status": "complete",
        "linear_accuracy": accuracy,
        "linear_accuracy_best": accuracy + 0.2,
        "linear_accuracy_converged": accuracy + 0.5,
        "feature_rms": 0.8,
        "knn_accuracy": accuracy - 3,
        "knn_accuracy_bank": accuracy - 3.5,
        **geometry,
        **{f"train_{name}": 1.01 * value for name, value in geometry.items()},
        "positive_similarity": positive,
        **dict(zip(NEGATIVES, negatives, strict=True)),
        "hard_set_same_label": 30.0,
        "effective_negatives": 50000 * min(1.0, tau),
        "gradient_balance": 1e-7,
        "exchange_difference": 0.0,
        "entropy_rises": 1.0,
        "interval_narrows": 1.0,
        "limit_low_error": 1e-4,
        "limit_high_error": 1e-3,
        "train_loss": 3.0 + 4 * tau,
        "images_per_second": 2100.0 + seed,
        "pretrain_seconds": 4700.0,
        "test_images": 10000,
        "bank_size": 50000,
        "hard_set_size": 4095,
        "alpha": 4095 / 49999,
        "device": "cpu",
        "threads": 1,
        "precision": "float32",
        "data_digest": "0123456789abcdef",
        "settings_digest": "fedcba9876543210",
        "code_version": "aaaaaaaaaaaaaaaa",
    }


@cache
def _published_records() -> pd.DataFrame:
    return published.records()


@cache
def _published(column: str, dataset: str, loss: str, tau: float) -> float:
    frame = _published_records()
    known = dataset if dataset in set(frame["dataset"]) else "cifar10"
    family = "hard_contrastive" if loss.startswith("hard") else "contrastive"
    limit = "hard_simple" if loss.startswith("hard") else "simple"
    frame = frame[(frame["dataset"] == known) & frame["loss"].isin([family, limit])]
    frame = frame.assign(temperature=frame["temperature"].fillna(3.0)).dropna(subset=[column])
    frame = frame.sort_values("temperature")
    return float(np.interp(np.log(tau), np.log(frame["temperature"]), frame[column]))


def _similarities(tau: float, loss: str) -> tuple[float, list[float]]:
    positive = 1 - 0.33 * np.exp(-2.2 * tau)
    first = positive - (0.16 if loss.startswith("hard") else 0.22) * np.exp(-4.0 * tau)
    return float(positive), [float(first - 0.03 * np.log(k)) for k in range(1, 11)]


def run_folders(
    folder: Path,
    frame: pd.DataFrame,
    *,
    images: int = 300,
    bank: int = 500,
    classes: int = 10,
    epochs: int = 20,
) -> None:
    """Write the files of every complete and diverged run of the records below ``folder``."""
    for row in named_rows(frame):
        tau = None if np.isnan(row["temperature"]) else float(row["temperature"])
        cell = Path(row["dataset"], row["loss"], canonical(tau), f"seed{row['seed']}")
        here = folder / "runs" / cell
        rng = np.random.default_rng([*map(ord, str(cell))])
        if row["status"] not in ("complete", "diverged"):
            continue
        here.mkdir(parents=True, exist_ok=True)
        _history(here, row, tau, rng, bank, epochs)
        if row["status"] == "diverged":
            continue
        _embeddings(here, tau, rng, images, bank, classes)
        rank = np.arange(1, 129)
        values = np.exp(-(((rank - 1) / max(4.0, row["effective_dimension"])) ** 0.8))
        values = np.sort(values * (1 + 0.02 * rng.random(128)))[::-1]
        block = {"samples": images, "t": 2.0, "singular_values": list(17.0 * values)}
        _measure(here, "geometry", {"test": block, "train": block})
        _measure(here, "separation", _separation(row, rng))
        _measure(here, "penalty", _penalty(tau, bank, rng))


def _measure(here: Path, name: str, values: dict[str, object]) -> None:
    content = {"made_of": "0123456789abcdef", "values": values}
    (here / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def _history(
    here: Path,
    row: dict[str, Any],
    tau: float | None,
    rng: np.random.Generator,
    bank: int,
    epochs: int,
) -> None:
    done = epochs if row["status"] == "complete" else epochs // 3
    lines = ["epoch,lr,loss,positive_similarity,seconds,images_per_second"]
    last = _similarities(tau or 3.0, str(row["loss"]))[0]
    for epoch in range(1, done + 1):
        share = 1 - np.exp(-5 * epoch / epochs)
        lr = 0.03 * 0.1 ** sum(epoch > round(part * epochs) for part in (0.8, 0.95))
        loss = np.log(bank) - share * 0.7 / (tau or 3.0) ** 0.6 + 0.01 * rng.normal()
        if row["status"] == "diverged" and epoch == done:
            loss = float("nan")
        positive = share * last + 0.005 * rng.normal()
        lines.append(f"{epoch},{lr:.6g},{loss},{positive},30.000,2100.0")
    (here / "history.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _embeddings(
    here: Path, tau: float | None, rng: np.random.Generator, images: int, bank: int, classes: int
) -> None:
    def points(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % classes
        centres = np.random.default_rng(0).normal(size=(classes, 128))
        x = centres[labels] * min(1.0, 0.35 + (tau or 3.0)) + rng.normal(size=(count, 128))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        return x.astype(np.float32), labels.astype(np.int64)

    (train, train_labels), (test, test_labels) = points(bank), points(images)
    content = {"train": train, "train_labels": train_labels, "bank": train}
    content |= {"test": test, "test_labels": test_labels}
    save_file(content, here / "embeddings.safetensors")


def _separation(row: dict[str, Any], rng: np.random.Generator) -> dict[str, object]:
    edges = np.linspace(-1, 1, 101)
    levels = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    names = {"pos": "positive_similarity"} | {f"n{k}": n for k, n in enumerate(NEGATIVES, 1)}
    distributions = {}
    for name, column in names.items():
        width = 0.12 if name == "pos" else 0.07
        values = np.clip(float(row[column]) + width * (rng.gamma(4.0, 0.5, 2048) - 2) * -1, -1, 1)
        distributions[name] = {
            "counts": np.histogram(values, edges)[0].tolist(),
            "quantiles": np.quantile(values, levels).tolist(),
        }
    means = {column: row[column] for column in names.values()}
    return {
        "anchors": 2048,
        **means,
        "hard_set_same_label": 0.3,
        "all_same_label": 0.1,
        "bin_edges": edges.tolist(),
        "quantile_levels": list(levels),
        "distributions": distributions,
    }


def _penalty(tau: float | None, bank: int, rng: np.random.Generator) -> dict[str, object]:
    grid = np.array([0.05, 0.07, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    spread = 0.35 * (1 + 0.4 * np.log10((tau or 3.0) / 0.05)) + 0.01 * rng.random()
    most, lost = 0.9 * np.log(bank - 1), 0.5 * (spread / grid) ** 2
    entropy = np.log(bank - 1) - most * (1 - np.exp(-lost / most))
    return {
        "anchors": 256,
        "bank": bank,
        "temperatures": grid.tolist(),
        "entropy": entropy.tolist(),
        "effective_negatives_by_temperature": np.exp(entropy).tolist(),
        "interval_width": (2.2 * spread * (1 - np.exp(-2.5 * grid / spread))).tolist(),
        "bearing": 0.9,
        "effective_negatives": None if tau is None else float(np.exp(entropy[-1])),
        "entropy_rises": 1.0,
        "interval_narrows": 1.0,
        "gradient_balance": 1e-12,
        "exchange_difference": 1e-13,
        "low_temperature": 1e-5,
        "limit_low_error": 1e-4,
        "high_temperature": 1e4,
        "limit_high_error": 1e-5,
    }
