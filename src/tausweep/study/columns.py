"""The columns of ``records.csv`` and ``along.csv``: every measure by its one name."""

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
"""1 where all test embeddings are one point (``geometry.collapsed``), else 0."""
TRAINING = ("train_loss", "images_per_second", "pretrain_seconds")
SIZES = ("test_images", "bank_size", "hard_set_size", "alpha")
"""M, whose size bounds how exact accuracies are; N, K and K / (N - 1): the printed alphas belong to
K = 4,095 and other N (docs/protocol.md)."""
ORIGIN = ("device", "threads", "precision", "data_digest", "settings_digest", "code_version")
INSTRUCTIONS = "instructions"
"""``portable`` or ``native``; empty of records made before they told."""
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
"""Columns of ``records.csv``, accuracies in percent; plug-ins' measures follow after them."""

ALONG = (
    "knn_accuracy",
    "linear_accuracy_short",
    *(name for name in GEOMETRY if name != "alignment"),
    *(name for name in SEPARATION if name != "hard_set_same_label"),
)
"""What is measured of a run along its training: columns of ``along.csv``, named as in
``records.csv``. The linear probe is a short one of its own."""
