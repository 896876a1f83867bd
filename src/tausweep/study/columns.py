"""The columns of ``records.csv`` and ``along.csv``, with one name for each measure.

A new measure needs a name here and in a few other places, which CONTRIBUTING.md lists.
"""

from __future__ import annotations

IDENTITY = ("study", "dataset", "loss", "temperature", "seed", "status")
CLASSIFICATION = (
    "linear_accuracy",
    "linear_accuracy_best",
    "linear_accuracy_converged",
    "feature_rms",
    "knn_accuracy",
    "knn_accuracy_bank",
)
GEOMETRY = (
    "uniformity",
    "tolerance",
    "tolerance_literal",
    "interclass_similarity",
    "tolerance_gap",
    "nearest_interclass_similarity",
    "common_mean",
    "alignment",
    "effective_dimension",
    "rankme",
    "wasserstein_uniformity",
)
SEPARATION = (
    "positive_similarity",
    *(f"negative_similarity_{place}" for place in range(1, 11)),
    "hard_set_same_label",
)
PENALTY = (
    "effective_negatives",
    "gradient_balance",
    "exchange_difference",
    "entropy_rises",
    "interval_narrows",
    "limit_low_error",
    "limit_high_error",
)
FLAGS = ("collapsed",)
"""1 if all test embeddings are one point (``geometry.collapsed``), else 0."""
TRAINING = ("train_loss", "images_per_second", "pretrain_seconds")
SIZES = ("test_images", "bank_size", "hard_set_size", "alpha")
"""M, which limits how exact accuracies are; N, K and K / (N - 1). The paper's alphas belong to
K = 4,095 and other N (docs/protocol.md)."""
ORIGIN = ("device", "threads", "precision", "data_digest", "settings_digest", "code_version")
INSTRUCTIONS = "instructions"
"""``portable`` or ``native``; empty for records that are older than this column."""
COLUMNS = (
    *IDENTITY,
    *FLAGS,
    *CLASSIFICATION,
    *GEOMETRY,
    *(f"train_{name}" for name in GEOMETRY),
    *SEPARATION,
    *PENALTY,
    *TRAINING,
    *SIZES,
    *ORIGIN[:2],
    INSTRUCTIONS,
    *ORIGIN[2:],
)
"""Columns of ``records.csv``, accuracies in percent. Measures of plug-ins come after them."""

ALONG = (
    "knn_accuracy",
    "linear_accuracy_short",
    *(name for name in GEOMETRY if name != "alignment"),
    *(name for name in SEPARATION if name != "hard_set_same_label"),
)
"""Columns of ``along.csv``: what is measured along a run's training. Names are as in
``records.csv``; the linear probe is a separate, short one."""
