"""The paper's settings for each dataset, where they differ from our defaults."""

from __future__ import annotations

from typing import Any

from tausweep.study.measures import MEASURES

PROTOCOL: dict[str, dict[str, Any]] = {
    # One column of docs/protocol.md per dataset. What is not named here has the models' default.
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
    # Our choice: handwritten digits have no colour, and mirroring changes them.
    "digits": {"dataset": {"image_size": 8}, "linear": {"views": "none"}},
    "translated_digits": {"dataset": {"image_size": 12}, "linear": {"views": "none"}},
}


OF_THE_RUN = "run"
"""The ``subset_seed`` that means each run's own seed."""


SECTIONS = ("views", "encoder", "pretrain", *MEASURES)
