"""Names of datasets, losses and measures in print, and their order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DATASET_LABELS = {
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "svhn": "SVHN",
    "imagenet100": "ImageNet100",
    "digits": "Digits",
    "translated_digits": "translated digits",
    "cifar10_lt_0.01": "CIFAR10-LT, imbalance 0.01",
    "cifar100_lt_0.1": "CIFAR100-LT, imbalance 0.1",
}
"""Datasets with their own name in print, in the paper's order."""

LOSS_LABELS = {
    "contrastive": "contrastive",
    "simple": "simple",
    "hard_contrastive": "hard contrastive",
    "hard_simple": "hard simple",
    "nearest_negative": "nearest negative",
    "nt_xent": "NT-Xent",
    "decoupled": "decoupled",
    "hcl": "HCL",
    "dual_temperature": "dual temperature",
    "simple_var": "simple with variance",
    "cosine_tau": "swinging temperature",
    "learnable_tau": "learnt temperature",
    "isogclr": "iSogCLR",
    "macl": "MACL",
    "supcon": "SupCon (supervised)",
}
"""Losses in the order of Table 1, then losses of others."""
BASELINES = {"untrained": "untrained encoder", "raw_pixels": "raw pixels"}

MAIN_MEASURES = ("linear_accuracy", "knn_accuracy", "uniformity", "tolerance")
"""What is shown of a run or a cell where there is room for few numbers."""

TABLE1_TEMPERATURES = (0.07, 0.3, 0.7, 1.0)


@dataclass(frozen=True)
class Measure:
    """A column of the records in print.

    Attributes:
        label: Its name, with the unit in brackets.
        digits: Number of decimals; by default the interval decides.
    """

    label: str
    digits: int | None = None


MEASURE_LABELS = {
    "linear_accuracy": Measure("linear accuracy, last epoch (%)", 2),
    "linear_accuracy_best": Measure("linear, best epoch (%)", 2),
    "linear_accuracy_converged": Measure("linear, converged (%)", 2),
    "feature_rms": Measure("feature RMS"),
    "knn_accuracy": Measure("kNN (%)", 2),
    "knn_accuracy_bank": Measure("kNN, bank as keys (%)", 2),
    "uniformity": Measure("uniformity", 3),
    "tolerance": Measure("tolerance", 3),
    "tolerance_literal": Measure("tolerance as in Eq. 11", 4),
    "interclass_similarity": Measure("inter-class similarity", 3),
    "tolerance_gap": Measure("tolerance − inter-class similarity", 3),
    "nearest_interclass_similarity": Measure("10 nearest of other classes", 3),
    "common_mean": Measure("common mean", 3),
    "alignment": Measure("alignment", 3),
    "effective_dimension": Measure("effective dimension"),
    "rankme": Measure("RankMe"),
    "wasserstein_uniformity": Measure("Wasserstein uniformity", 3),
    "positive_similarity": Measure("positive", 3),
    **{f"negative_similarity_{place}": Measure(f"negative {place}", 3) for place in range(1, 11)},
    "hard_set_same_label": Measure("own label in hard set", 3),
    "effective_negatives": Measure("effective negatives"),
    "gradient_balance": Measure("gradient balance error"),
    "exchange_difference": Measure("exchange difference"),
    "entropy_rises": Measure("entropy rises with τ", 3),
    "interval_narrows": Measure("interval narrows with falling τ", 3),
    "limit_low_error": Measure("error at τ → 0⁺"),
    "limit_high_error": Measure("error at τ → ∞"),
    "train_loss": Measure("training loss", 3),
    "images_per_second": Measure("images/s"),
    "pretrain_seconds": Measure("pretraining (s)"),
    "test_images": Measure("test images", 0),
    "bank_size": Measure("bank, N", 0),
    "hard_set_size": Measure("hard set, K", 0),
    "alpha": Measure("alpha, K/(N − 1)", 4),
}


def dataset(name: str) -> str:
    """The name of a dataset in print; by default that of the study file."""
    return DATASET_LABELS.get(name, name)


def loss(name: str) -> str:
    """A loss in print."""
    return (LOSS_LABELS | BASELINES).get(name, name.replace("_", " "))


def measure(column: str) -> Measure:
    """The name of a column in print; columns of both splits have the same name."""
    same = MEASURE_LABELS.get(column) or MEASURE_LABELS.get(column.removeprefix("train_"))
    return same or Measure(column.replace("_", " "))


def datasets_in_order(found: Iterable[str]) -> list[str]:
    """The paper's datasets first, then the others as they appear."""
    return _in_order(list(dict.fromkeys(found)), DATASET_LABELS)


def losses_in_order(found: Iterable[str]) -> list[str]:
    """Table 1's losses first, then the others by name, the baselines last."""
    names = _in_order(sorted(set(found)), LOSS_LABELS)
    return [n for n in names if n not in BASELINES] + [n for n in BASELINES if n in names]


def _in_order(found: list[str], known: Iterable[str]) -> list[str]:
    first = [name for name in known if name in found]
    return first + [name for name in found if name not in first]
