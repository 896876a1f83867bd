"""The size of an encoder from its settings: operations, parameters, activations.

Torch is not imported, because plans and Snakemake use this.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tausweep.study import TRUNKS, EncoderSettings


def _layers(encoder: EncoderSettings, image_size: int) -> Iterator[tuple[int, int, int, int]]:
    """Output side, kernel area, input and output channels of every layer; the head is last."""
    kind, blocks = TRUNKS[encoder.trunk]
    if encoder.trunk == "pixels":
        return
    kernel, stride, pool = (3, 1, 1) if encoder.stem == "cifar" else (7, 2, 2)
    side, channels = math.ceil(image_size / stride), encoder.width
    yield side, kernel**2, 3, channels
    side = math.ceil(side / pool)
    for stage, count in enumerate(blocks):
        planes = encoder.width * 2**stage
        out = planes * (1 if kind == "basic" else 4)
        for block in range(count):
            before = side
            side = math.ceil(side / 2) if stage > 0 and block == 0 else side
            if kind == "basic":
                yield side, 9, channels, planes
                yield side, 9, planes, planes
            else:
                yield before, 1, channels, planes
                yield side, 9, planes, planes
                yield side, 1, planes, out
            if channels != out:
                yield side, 1, channels, out
            channels = out
    if encoder.head == "mlp":
        yield 1, 1, channels, channels
    yield 1, 1, channels, encoder.dim


def forward_flops(encoder: EncoderSettings, image_size: int) -> float:
    """Floating-point operations of one image's forward pass (two per multiply-add)."""
    return sum(2.0 * side**2 * k * i * o for side, k, i, o in _layers(encoder, image_size))


def parameter_count(encoder: EncoderSettings) -> int:
    """Parameters of trunk and head: weights, and two per channel for batch norm."""
    layers = [*_layers(encoder, 1)]
    heads = 2 if encoder.head == "mlp" else 1
    # A layer of the head has only a bias.
    return sum(k * i * o + 2 * o for _, k, i, o in layers) - sum(o for *_, o in layers[-heads:])


def feature_count(encoder: EncoderSettings) -> int:
    """Dimension D of the pooled features."""
    layers = [*_layers(encoder, 1)]
    return layers[-1][2] if layers else encoder.dim


def activation_bytes(encoder: EncoderSettings, image_size: int) -> float:
    """Bytes that training keeps per image for the backward pass: two float32 maps per layer.

    Batch norm keeps the output of the convolution; the next convolution keeps that of ReLU.
    """
    return sum(2.0 * 4 * side**2 * out for side, _, _, out in _layers(encoder, image_size))
