"""Random pictures, parameters, and the same views by torchvision, an image at a time."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from tausweep.study import ViewSettings
from tausweep.views import crop, rendering
from tausweep.views.parameters import HUE
from tausweep.views.rendering import ViewParameters

# A GPU machine has not got it.
reference = pytest.importorskip("torchvision.transforms.functional")

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

# A hundredth of a level, which no one can see: the promise of the views, beside which rounding (at
# most tolerance.view(96, 9, 0.4)) is the smaller.
TINY = 0.01 / 255


def photographs(n: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Smooth colours with noise, saturated in places: uint8 n x height x width x 3."""
    random = torch.Generator().manual_seed(seed)
    smooth = torch.nn.functional.interpolate(
        torch.rand(n, 3, 4, 4, generator=random), (height, width), mode="bilinear"
    )
    noisy = 1.4 * smooth - 0.2 + 0.08 * torch.randn(n, 3, height, width, generator=random)
    return (noisy.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous()


def untouched(n: int, height: int, width: int, **changes: Any) -> ViewParameters:
    """Parameters that leave images as they are, except for ``changes``."""
    still = ViewSettings(
        crop_scale=None,
        brightness=0,
        contrast=0,
        saturation=0,
        hue=0,
        grayscale=0,
        flip=False,
        blur_probability=0,
    )
    return dataclasses.replace(rendering.draw(still, height, width, n, 0, 0), **changes)


def pixels(rendered: Tensor) -> Tensor:
    """Undo the normalisation: B x 3 x S x S in [0, 1]."""
    return rendered * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]


def render(images: Tensor, parameters: ViewParameters, size: int, **options: bool) -> Tensor:
    return pixels(rendering.render(images, parameters, size, MEAN, STD, **options))


def one_by_one(
    images: Tensor, parameters: ViewParameters, size: int, pil: bool = False, antialias: bool = True
) -> Tensor:
    """The same views by torchvision, an image at a time, on float tensors or PIL images."""
    made = []
    for i, stored in enumerate(images):
        image = stored.permute(2, 0, 1)
        image = reference.to_pil_image(image) if pil else image.float() / 255
        p = parameters.take(slice(i, i + 1))
        box = (int(p.top), int(p.left), int(p.height), int(p.width))
        image = reference.resized_crop(image, *box, [size, size], antialias=antialias)
        if p.jitter:
            for operation in p.jitter_order[0].tolist():
                adjust = (
                    (reference.adjust_brightness, p.brightness),
                    (reference.adjust_contrast, p.contrast),
                    (reference.adjust_saturation, p.saturation),
                    (reference.adjust_hue, p.hue),
                )[operation]
                # ColorJitter leaves out a hue of strength 0; PIL's way over 8-bit HSV would not
                # be neutral.
                if operation != HUE or adjust[1] != 0:
                    image = adjust[0](image, float(adjust[1]))
        if p.grayscale:
            image = reference.rgb_to_grayscale(image, 3)
        if p.blur:
            kernel = crop.blur_kernel_size(size)
            image = reference.gaussian_blur(image, [kernel, kernel], [float(p.sigma)] * 2)
        if p.flip:
            image = reference.hflip(image)
        made.append(reference.to_tensor(image) if pil else image)
    return torch.stack(made)


EVERYTHING = ViewSettings(flip=True, blur_probability=0.5, jitter_probability=0.8)

OPERATIONS: dict[str, dict[str, Any]] = {
    "crop": {},
    "brightness": {"brightness": 0.4},
    "contrast": {"contrast": 0.4},
    "saturation": {"saturation": 0.4},
    "hue": {"hue": 0.4},
    "grayscale": {"grayscale": 1.0},
    "flip": {"flip": True},
    "blur": {"blur_probability": 1.0},
}


def only(operation: str) -> ViewSettings:
    off: dict[str, Any] = {
        "brightness": 0,
        "contrast": 0,
        "saturation": 0,
        "hue": 0,
        "grayscale": 0,
    }
    scale = (0.2, 1.0) if operation == "crop" else None
    return ViewSettings(**({"crop_scale": scale, "flip": False} | off | OPERATIONS[operation]))


def same(a: ViewParameters, b: ViewParameters) -> bool:
    return not differing(a, b)


def differing(a: ViewParameters, b: ViewParameters) -> set[str]:
    ours, theirs = a.tensors(), b.tensors()
    return {name for name in ours if not torch.equal(ours[name], theirs[name])}
