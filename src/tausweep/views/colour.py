"""Colour operations on a batch; each image has its own factors and order.

Images are planes: float32 3 x B x P in [0, 1], with P pixels per image. The formulas are those of
torchvision for float images.

Brightness, contrast and saturation are one operation with different coefficients,
x <- clamp(a x + b luma(x) + c mean(luma(x)), 0, 1). Only hue is different. So in any order, an
image goes through some affine steps, then hue, then the remaining affine steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tausweep.views.parameters import CONTRAST, HUE, SATURATION, ViewParameters

LUMA = (0.2989, 0.587, 0.114)
"""Shares of red, green and blue in a gray value (ITU-R BT.601, as torchvision rounds them)."""

STEPS = 3
"""Affine steps of an image: brightness, contrast and saturation, in its own order."""


def luma(planes: Tensor) -> Tensor:
    """Gray values B x P of planes 3 x B x P."""
    gray = planes[0] * LUMA[0]
    return gray.add_(planes[1], alpha=LUMA[1]).add_(planes[2], alpha=LUMA[2])


def affine(planes: Tensor, gain: Tensor, luma_share: Tensor, mean_share: Tensor) -> None:
    """X <- clamp(gain x + luma_share luma(x) + mean_share mean(luma(x)), 0, 1), in place.

    With f the factor of an operation, (gain, luma_share, mean_share) is (f, 0, 0) for
    brightness, (f, 0, 1 - f) for contrast, (f, 1 - f, 0) for saturation; (1, 0, 0) changes nothing.

    Args:
        planes: float32 3 x B x P.
        gain: float32 B x 1.
        luma_share: float32 B x 1.
        mean_share: float32 B x 1.
    """
    base = luma(planes)
    offset = base.mean(1, keepdim=True).mul_(mean_share)
    base.mul_(luma_share).add_(offset)
    torch.addcmul(base, planes, gain, out=planes).clamp_(0, 1)


def shift_hue(planes: Tensor, shift: Tensor) -> None:
    """Shift the hue of every pixel in place, without a conversion to HSV and back.

    With V and m the largest and the smallest channel and C = V - m, the hue in sixths of a turn is
    h = sign(G - B) (G + B - R + V - 2 m) / C: one formula for all sectors. At hue h the channels
    are R = m + C k(h - 3), G = V - C k(h - 2), B = V - C k(h - 4), k(x) = clamp(|x| - 1, 0, 1).

    Args:
        planes: float32 3 x B x P.
        shift: float32 B x 1, in turns, in [-0.5, 0.5].
    """
    red, green, blue = planes
    highest = torch.maximum(green, blue)
    torch.maximum(highest, red, out=highest)
    lowest = torch.minimum(green, blue)
    torch.minimum(lowest, red, out=lowest)
    hue = torch.add(green, blue)
    hue.sub_(red).add_(highest).sub_(lowest, alpha=2)
    # A gray pixel has no hue; the result of the division is later multiplied by a chroma of 0.
    chroma = torch.sub(highest, lowest).clamp_(min=1e-12)
    hue.div_(chroma)
    work = torch.sub(green, blue)
    hue.copysign_(work)
    # Made positive, so that taking the fraction wraps it around.
    torch.add(shift + 1, hue, alpha=1 / 6, out=hue).frac_().mul_(6)
    channels = ((red, lowest, 3, 1), (green, highest, 2, -1), (blue, highest, 4, -1))
    for plane, base, opposite, sign in channels:
        torch.sub(hue, opposite, out=work).abs_().sub_(1).clamp_(0, 1)
        torch.addcmul(base, chroma, work, value=sign, out=plane)


@dataclass(frozen=True)
class JitterSteps:
    """The colour jitter of B images, its operations sorted into affine steps and hue.

    Attributes:
        coefficients: float32 3 x 3 x B x 1: gain, luma share and mean share of each affine step
            (see ``affine``).
        before_hue: int64 B, how many affine steps come before hue.
        shift: float32 B x 1, shift of the hue.
        turned: bool B, whether the hue is shifted.
        jitter: bool B, whether there is any jitter.
    """

    coefficients: Tensor
    before_hue: Tensor
    shift: Tensor
    turned: Tensor
    jitter: Tensor

    @classmethod
    def of(cls, parameters: ViewParameters) -> JitterSteps:
        """The steps of drawn parameters."""
        order = parameters.jitter_order
        before_hue = (order == HUE).long().argmax(1)
        step = torch.arange(STEPS, device=order.device)
        operation = order.gather(1, step + (step >= before_hue[:, None]))
        factors = (parameters.brightness, parameters.contrast, parameters.saturation)
        gain = torch.stack(factors, 1).gather(1, operation)
        coefficients = (
            gain,
            torch.where(operation == SATURATION, 1 - gain, 0.0),
            torch.where(operation == CONTRAST, 1 - gain, 0.0),
        )
        return cls(
            coefficients=torch.stack(coefficients).permute(2, 0, 1)[..., None],
            before_hue=before_hue,
            shift=parameters.hue[:, None],
            turned=parameters.jitter & (parameters.hue != 0),
            jitter=parameters.jitter,
        )


def jitter(planes: Tensor, parameters: ViewParameters, by_masks: bool) -> Tensor:
    """Jitter a batch, each image in its own order.

    Args:
        planes: float32 3 x B x P in [0, 1]; may be overwritten.
        parameters: B rows on the same device.
        by_masks: Never wait for values from the device (see ``jitter_by_masks``).

    Returns:
        Jittered planes 3 x B x P.
    """
    steps = JitterSteps.of(parameters)
    return jitter_by_masks(planes, steps) if by_masks else jitter_by_ranges(planes, steps)


def jitter_by_ranges(planes: Tensor, steps: JitterSteps) -> Tensor:
    """Jitter without wasted operations, on a device where reading values is free.

    Images are sorted by the number of steps before hue. Then the images of each step are
    contiguous, so a step is one operation on a range, however many orders there are.
    """
    key = torch.where(steps.turned, steps.before_hue, STEPS + 1)
    key = torch.where(steps.jitter, key, STEPS + 2)
    key, source = key.sort(stable=True)
    first = torch.searchsorted(key, torch.arange(STEPS + 3, device=key.device)).tolist()
    if first[STEPS + 2] == 0:
        return planes
    coefficients, shift = steps.coefficients[:, :, source], steps.shift[source]
    jittered = planes.index_select(1, source)

    def step(number: int, start: int, stop: int) -> None:
        if start < stop:
            affine(jittered[:, start:stop], *coefficients[number, :, start:stop])

    for number in range(STEPS):
        step(number, first[number + 1], first[STEPS + 2])
    if first[STEPS + 1]:
        shift_hue(jittered[:, : first[STEPS + 1]], shift[: first[STEPS + 1]])
    for number in range(STEPS):
        step(number, 0, first[number + 1])
    return torch.index_select(jittered, 1, source.argsort(), out=planes)


def jitter_by_masks(planes: Tensor, steps: JitterSteps) -> Tensor:
    """Jitter without reading values: every step for all images, neutral where it does not apply.

    Gives the same numbers as ``jitter_by_ranges``, at the cost of 6 affine steps instead of 3.
    """
    early = torch.arange(STEPS, device=planes.device)[:, None] < steps.before_hue
    for number in range(STEPS):
        affine(planes, *_due(steps.coefficients[number], early[number] & steps.jitter))
    shifted = planes.clone()
    shift_hue(shifted, steps.shift)
    planes = torch.where(steps.turned[:, None], shifted, planes)
    for number in range(STEPS):
        affine(planes, *_due(steps.coefficients[number], ~early[number] & steps.jitter))
    return planes


def grayscale(planes: Tensor, chosen: Tensor, by_masks: bool) -> Tensor:
    """Replace the channels of the ``chosen`` images (bool B) by their gray values.

    Args:
        planes: float32 3 x B x P; may be overwritten.
        chosen: bool B.
        by_masks: Never wait for values from the device.

    Returns:
        Planes 3 x B x P.
    """
    if by_masks:
        return torch.where(chosen[:, None], luma(planes), planes)
    rows = chosen.nonzero()[:, 0]
    gray = luma(planes.index_select(1, rows))
    for plane in planes:
        plane.index_copy_(0, rows, gray)
    return planes


def _due(coefficients: Tensor, due: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gain, luma share and mean share (B x 1 each), neutral where ``due`` (bool B) is false."""
    gain, luma_share, mean_share = coefficients
    due = due[:, None]
    return (
        torch.where(due, gain, 1.0),
        torch.where(due, luma_share, 0.0),
        torch.where(due, mean_share, 0.0),
    )
