"""An encoder that was loaded, and how images are prepared for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tausweep import data
from tausweep.study import StudyError, ViewSettings

Channels = tuple[float, float, float]
IMAGENET = data.normalisation("imagenet100")
LARGE_VIEWS = ViewSettings(hue=0.1, jitter_probability=0.8, flip=True, blur_probability=0.5)
"""Those of ImageNet100 (docs/protocol.md), for encoders of images of 160 pixels or more."""


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder, and how images are prepared for it.

    Attributes:
        module: B x 3 x S x S -> B x d, in eval mode.
        what: In words, what its output is.
        size: S in pixels.
        crop: S as a share of the resized shorter side: 0.875 takes 224 of 256.
        mean: Mean of each channel, for images in [0, 1].
        std: Standard deviation of each channel.
        views: What alignment's views are drawn from.
    """

    module: nn.Module
    what: str
    size: int
    crop: float
    mean: Channels
    std: Channels
    views: ViewSettings


def loaded(
    module: nn.Module, what: str, size: int, crop: float, constants: tuple[Channels, Channels]
) -> LoadedEncoder:
    """A module with the views of images of its size; see ``LoadedEncoder``.

    Args:
        module: See ``LoadedEncoder``, as for what follows.
        what: In words.
        size: In pixels.
        crop: A share.
        constants: Mean and standard deviation of each channel.
    """
    views = LARGE_VIEWS if size >= 160 else ViewSettings()
    return LoadedEncoder(module.eval(), what, size, crop, *constants, views)


def channels(constants: Mapping[str, Any], name: str, path: Path) -> Channels:
    """A constant of each channel, by default ImageNet's: three numbers, or one for all three.

    Args:
        constants: Numbers by name, as the encoder's file has them.
        name: ``mean`` or ``std``, or the same with ``image_`` before it.
        path: The file, for the message.

    Raises:
        StudyError: It is neither one number nor three, not finite, or a deviation not above 0.
    """
    given = constants.get(name)
    # A module's layer or a function can have the name as well.
    if given is None or callable(given):
        return IMAGENET[1 if name.endswith("std") else 0]
    try:
        numbers = torch.as_tensor(given, dtype=torch.float64).flatten().tolist()
    except (TypeError, ValueError, RuntimeError):
        numbers = []
    least = 0.0 if name.endswith("std") else -math.inf
    if len(numbers) not in (1, 3) or not all(least < n < math.inf for n in numbers):
        raise StudyError(
            f"{path}: {name}: {given!r} is not allowed; it should be one number, or three"
            + (", above 0" if name.endswith("std") else "")
        )
    red, green, blue = numbers * (3 // len(numbers))
    return red, green, blue
