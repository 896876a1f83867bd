"""Settings of the random views."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from tausweep.study.fields import Interval, Number, Probability, Settings


class ViewSettings(Settings):
    """Random views, in the order crop, jitter, grayscale, blur, flip (paper sec. 5.1, author).

    Attributes:
        crop_scale: Share of the image's area; null leaves the image uncropped.
        crop_ratio: Width over height of the crop (author: torchvision's defaults).
        brightness: Factor from U(max(0, 1-b), 1+b); contrast and saturation likewise.
        hue: Shift from U(-h, h), in turns.
        jitter_probability: How often the four colour operations are applied.
        grayscale: Probability of three equal channels.
        flip: Mirror horizontally with probability 1/2. The paper's text does so on CIFAR, but not
            the code that printed Table 1. We follow the numbers: off.
        blur_probability: How often a Gaussian blur is applied (ImageNet100).
        blur_sigma: Range of its standard deviation in pixels, drawn uniformly.
    """

    crop_scale: Interval | None = (0.2, 1.0)
    crop_ratio: Interval = (3 / 4, 4 / 3)
    brightness: Annotated[Number, Field(ge=0)] = 0.4
    contrast: Annotated[Number, Field(ge=0)] = 0.4
    saturation: Annotated[Number, Field(ge=0)] = 0.4
    hue: Annotated[Number, Field(ge=0, le=0.5)] = 0.4
    jitter_probability: Probability = 1.0
    grayscale: Probability = 0.2
    flip: bool = False
    blur_probability: Probability = 0.0
    blur_sigma: Interval = (0.1, 2.0)

    @field_validator("crop_scale", "crop_ratio", "blur_sigma")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError("the lower end comes first")
        return value

    @field_validator("crop_scale")
    @classmethod
    def _share(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[1] > 1:
            raise ValueError("a share of the image's area is at most 1")
        return value
