"""What the paper sets for each dataset, where it differs from the settings' own defaults."""

from __future__ import annotations

from typing import Any

from tausweep.study.measures import MEASURES

PROTOCOL: dict[str, dict[str, Any]] = {
    # docs/protocol.md, one column a dataset; what is not named here is the models' own default.
    "cifar10": {},
    "cifar100": {},
    "svhn": {"linear": {"views": "colour"}},
    "imagenet100": {
        "dataset": {"image_size": 224, "form": "originals"},
        "views": {"hue": 0.1, "jitter_probability": 0.8, "flip": True, "blur_probability": 0.5},
        "encoder": {"trunk": "resnet50", "stem": "imagenet"},
        "pretrain": {"weight_decay": 1e-4},
        "linear": {"views": "crop"},
    },
    "folder": {},
    "plugin": {},
    # Ours: handwritten digits have no colour and are not what they were when mirrored.
    "digits": {"dataset": {"image_size": 8}, "linear": {"views": "none"}},
    "translated_digits": {"dataset": {"image_size": 12}, "linear": {"views": "none"}},
}


OF_THE_RUN = "run"
"""A ``subset_seed`` that is each run's own seed."""


SECTIONS = ("views", "encoder", "pretrain", *MEASURES)
