"""Encoders: a residual trunk with a CIFAR or ImageNet stem, and a head onto the unit sphere.

Source: docs/protocol.md (paper sec. 5.1; He et al. 2016). The blocks are those of torchvision, and
a test holds them to it; they are written out here because importing torchvision takes two seconds
of every job.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tausweep.study import TRUNKS, EncoderSettings


class GhostBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over groups of ``group`` instances, as data-parallel replicas see them.

    Running statistics follow the first group, as they follow the first replica in PyTorch's
    ``DataParallel``, with which the author trained.
    """

    def __init__(self, channels: int, group: int) -> None:
        super().__init__(channels)
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """Normalise B x C x H x W in groups of at most ``group`` instances."""
        if not self.training or len(x) <= self.group:
            return super().forward(x)
        first, *rest = torch.split(x, self.group)
        normalised = [super().forward(first)]
        normalised += [
            F.batch_norm(part, None, None, self.weight, self.bias, True, 0.0, self.eps)
            for part in rest
        ]
        return torch.cat(normalised)


Norm = Callable[[int], nn.Module]


def _conv(channels: int, out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False)


class Block(nn.Module):
    """A residual block: ``basic`` (two 3x3) or ``bottleneck`` (1x1, 3x3 with the stride, 1x1)."""

    EXPANSION: ClassVar[dict[str, int]] = {"basic": 1, "bottleneck": 4}

    def __init__(self, kind: str, channels: int, planes: int, stride: int, norm: Norm) -> None:
        super().__init__()
        out = planes * self.EXPANSION[kind]
        self.relu = nn.ReLU(inplace=True)
        if kind == "basic":
            convolutions = [_conv(channels, planes, 3, stride), _conv(planes, out, 3)]
        else:
            convolutions = [
                _conv(channels, planes, 1),
                _conv(planes, planes, 3, stride),
                _conv(planes, out, 1),
            ]
        layers: list[nn.Module] = []
        for convolution in convolutions:
            layers += [convolution, norm(convolution.out_channels), self.relu]
        # The last ReLU follows the sum.
        self.residual = nn.Sequential(*layers[:-1])
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(_conv(channels, out, 1, stride), norm(out))

    def forward(self, x: Tensor) -> Tensor:
        """B x channels x H x W -> B x out x H/stride x W/stride."""
        out: Tensor = self.relu(self.residual(x) + self.shortcut(x))
        return out


class Trunk(nn.Module):
    """Stem and four residual stages; forward gives pooled features, B x ``features``."""

    def __init__(self, settings: EncoderSettings, bn_group: int | None = None) -> None:
        super().__init__()
        kind, blocks = TRUNKS[settings.trunk]
        norm: Norm = nn.BatchNorm2d
        if bn_group is not None:
            norm = partial(GhostBatchNorm2d, group=bn_group)
        width = settings.width
        stem: list[tuple[str, nn.Module]]
        if settings.stem == "cifar":
            stem = [("conv", _conv(3, width, 3))]
        else:
            stem = [("conv", _conv(3, width, 7, stride=2))]
        stem += [("norm", norm(width)), ("relu", nn.ReLU(inplace=True))]
        if settings.stem == "imagenet":
            stem.append(("pool", nn.MaxPool2d(3, stride=2, padding=1)))
        self.stem = nn.Sequential(OrderedDict(stem))
        channels = width
        stages = []
        for stage, count in enumerate(blocks):
            planes = width * 2**stage
            layers = []
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                layers.append(Block(kind, channels, planes, stride, norm))
                channels = planes * Block.EXPANSION[kind]
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.features = channels

    def forward(self, views: Tensor) -> Tensor:
        """B x 3 x H x W float -> B x ``features`` float, averaged over the last stage's map."""
        features: Tensor = self.stages(self.stem(views)).mean((2, 3))
        return features


class Pixels(nn.Module):
    """No trunk: its features are the normalised image's values, 3 H W of them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def forward(self, views: Tensor) -> Tensor:
        """B x 3 x H x W float -> B x 3 H W float."""
        return views.flatten(1)


class Encoder(nn.Module):
    """f of the paper: trunk, head, L2 normalisation.

    Parameters are drawn from ``seed`` alone; the global generator is left as it was.
    """

    def __init__(self, settings: EncoderSettings, seed: int, bn_group: int | None = None) -> None:
        super().__init__()
        self.trunk: Trunk | Pixels
        self.head: nn.Module
        if settings.trunk == "pixels":
            self.trunk, self.head = Pixels(settings.dim), nn.Identity()
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.trunk = Trunk(settings, bn_group)
            features = self.trunk.features
            self.head = nn.Linear(features, settings.dim)
            if settings.head == "mlp":
                hidden = nn.Linear(features, features)
                self.head = nn.Sequential(hidden, nn.ReLU(inplace=True), self.head)
            if settings.trunk == "resnet50":
                # The author initialises ResNet-50 as torchvision does; ResNet-18 is left at
                # PyTorch's defaults.
                for module in self.trunk.modules():
                    if isinstance(module, nn.Conv2d):
                        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, views: Tensor) -> Tensor:
        """Embeddings: B x 3 x H x W float -> B x d float32, rows of length 1."""
        return self.embed(self.trunk(views))

    def embed(self, features: Tensor) -> Tensor:
        """Embeddings of pooled features, B x D -> B x d float32; normalised in float32."""
        return F.normalize(self.head(features).float(), dim=1)
