"""Settings of the encoder: trunk, stem and head."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tausweep.study.fields import Integer, Settings

TRUNKS = {
    "resnet10": ("basic", (1, 1, 1, 1)),
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "pixels": ("none", ()),
}
"""Kind of block, and blocks per stage. resnet10 is for miniatures; resnet18, 34 and 50 are those of
He et al. 2016; pixels passes the normalised image through, for the baseline ``raw_pixels``."""


SMALLEST_IMAGE = {"cifar": 8, "imagenet": 32}
"""Total stride of a trunk, by stem; a smaller image would leave no pixel for the last stage."""


class EncoderSettings(Settings):
    """Trunk, stem and head (paper sec. 5.1; author).

    Attributes:
        trunk: A name of ``TRUNKS``.
        stem: ``cifar`` (3x3, stride 1, no max-pool) or ``imagenet`` (7x7, stride 2, max-pool).
        width: Channels of the first stage. With fewer than 8, the CPU's channels-last convolution
            (oneDNN, torch 2.14) writes out of bounds in its backward pass.
        dim: Dimension d of the embedding.
        head: ``linear`` (one layer with bias) or ``mlp`` (a hidden layer as wide as the feature).
    """

    trunk: Literal["resnet10", "resnet18", "resnet34", "resnet50", "pixels"] = "resnet18"
    stem: Literal["cifar", "imagenet"] = "cifar"
    width: Annotated[Integer, Field(ge=8)] = 64
    dim: Annotated[Integer, Field(ge=2)] = 128
    head: Literal["linear", "mlp"] = "linear"
