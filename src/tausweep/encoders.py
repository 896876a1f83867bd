"""Encoders: a residual trunk with a CIFAR or ImageNet stem, and a head onto the unit sphere.

Blocks are torchvision's; only what differs from its classifiers is ours: the stem, the width, the
head, ghost batch norm. Source: PAPER.md sec. 4 (paper sec. 5.1; He et al. 2016).
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck

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


class Trunk(nn.Module):
    """Stem and four residual stages; forward gives pooled features, B x ``features``."""

    def __init__(self, settings: EncoderSettings, bn_group: int | None = None) -> None:
        super().__init__()
        kind, blocks = TRUNKS[settings.trunk]
        block = BasicBlock if kind == "basic" else Bottleneck
        norm = nn.BatchNorm2d if bn_group is None else partial(GhostBatchNorm2d, group=bn_group)
        width = settings.width
        stem: list[tuple[str, nn.Module]]
        if settings.stem == "cifar":
            stem = [("conv", nn.Conv2d(3, width, 3, stride=1, padding=1, bias=False))]
        else:
            stem = [("conv", nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False))]
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
                shortcut = None
                if stride != 1 or channels != planes * block.expansion:
                    shortcut = nn.Sequential(
                        nn.Conv2d(channels, planes * block.expansion, 1, stride, bias=False),
                        norm(planes * block.expansion),
                    )
                layers.append(block(channels, planes, stride, shortcut, norm_layer=norm))
                channels = planes * block.expansion
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.features = channels

    def forward(self, views: Tensor) -> Tensor:
        """B x 3 x H x W float -> B x ``features`` float, averaged over the last stage's map."""
        features: Tensor = self.stages(self.stem(views)).mean((2, 3))
        return features


class Encoder(nn.Module):
    """f of the paper: trunk, head, L2 normalisation.

    Parameters are drawn from ``seed`` alone; the global generator is left as it was.
    """

    def __init__(self, settings: EncoderSettings, seed: int, bn_group: int | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.trunk = Trunk(settings, bn_group)
            features = self.trunk.features
            self.head: nn.Module = nn.Linear(features, settings.dim)
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
