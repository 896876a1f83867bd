"""Encoders: a residual trunk with a CIFAR or ImageNet stem, and a head onto the unit sphere.

Source: docs/protocol.md (paper sec. 5.1; He et al. 2016). The blocks equal those of torchvision,
which a test checks. They are written out here because importing torchvision would take two seconds
of every job.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tausweep.machine.peers import ALONE, Processes
from tausweep.study import TRUNKS, EncoderSettings


class GhostBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over groups of ``group`` instances, as data-parallel replicas see them.

    Running statistics follow the first group. The author trained with PyTorch's ``DataParallel``,
    where they follow the first replica.
    """

    def __init__(self, channels: int, group: int) -> None:
        super().__init__(channels)
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """Normalise B x C x H x W in groups of at most ``group`` instances."""
        if len(x) == 0:
            # A process without a part of the batch has no statistics and a zero gradient.
            mean, var = self.running_mean, self.running_var
            return F.batch_norm(x, mean, var, self.weight, self.bias, False, 0.0, self.eps)
        if not self.training or len(x) <= self.group:
            return super().forward(x)
        first, *rest = torch.split(x, self.group)
        normalised = [super().forward(first)]
        normalised += [
            F.batch_norm(part, None, None, self.weight, self.bias, True, 0.0, self.eps)
            for part in rest
        ]
        return torch.cat(normalised)


class _Synchronised(torch.autograd.Function):
    """Batch norm with statistics over all processes; see ``SynchronisedBatchNorm2d``."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, processes: Processes
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Normalised x; mean and biased variance (C each) and number of values behind them."""
        channels = x.shape[1]
        own = torch.zeros(2 * channels + 1, dtype=torch.float64, device=x.device)
        if x.numel() > 0:
            wide = x.to(weight.dtype)
            spread, centre = torch.var_mean(wide, (0, 2, 3), correction=0)
            own[:channels], own[channels:-1] = centre, spread
            own[-1] = x.numel() // channels
        rows = processes.rows(own)
        means, variances, counts = rows.split([channels, channels, 1], dim=1)
        # Chan et al. 1983; this avoids a difference of large squares.
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        var = (counts * (variances + (means - mean) ** 2)).sum(0) / count
        mean, var = mean.to(weight.dtype), var.to(weight.dtype)
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps, ctx.processes = eps, processes
        ctx.mark_non_differentiable(mean, var, count)
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps), mean, var, count

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients to this process's x; to weight and bias, its part of the sums."""
        x, weight, mean, var, count = ctx.saved_tensors
        if x.numel() > 0:
            # First the gradient as if mean and variance were constants ...
            to_x, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
                upstream, x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
            )
        else:  # the function would divide by zero
            to_x, to_weight, to_bias = upstream, torch.zeros_like(mean), torch.zeros_like(mean)
        # ... then their dependence on every value: w/sd (-mean(g) - normalised x mean(g x)).
        sum_weight, sum_bias = ctx.processes.total([to_weight, to_bias])
        inverse = (var + ctx.eps).rsqrt()
        slope = -weight * inverse**2 * sum_weight / count.to(weight.dtype)
        offset = -weight * inverse * sum_bias / count.to(weight.dtype) - slope * mean
        to_x = to_x + (x * slope[:, None, None] + offset[:, None, None]).to(to_x.dtype)
        return to_x, to_weight, to_bias, None, None


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm for a batch shared by processes, with statistics over the whole batch.

    PyTorch's ``SyncBatchNorm`` does the same, but only on GPUs and not for empty parts.
    """

    def __init__(self, channels: int, processes: Processes) -> None:
        super().__init__(channels)
        self.processes = processes

    def forward(self, x: Tensor) -> Tensor:
        """Normalise this process's B x C x H x W, B >= 0, by the statistics of all of them."""
        if not self.training:
            return super().forward(x)
        normalised: Tensor
        normalised, mean, var, count = _Synchronised.apply(
            x, self.weight, self.bias, self.eps, self.processes
        )
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_((var * count / (count - 1)).to(var.dtype), self.momentum or 0.0)
        return normalised


Norm = Callable[[int], nn.Module]


def set_tf32(allowed: bool) -> None:
    """Allow float32 convolutions and matrix products to round their inputs to TF32, or forbid it.

    This only affects NVIDIA GPUs from Ampere on. By default PyTorch allows it for convolutions.
    """
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


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

    def __init__(
        self,
        settings: EncoderSettings,
        bn_group: int | None = None,
        processes: Processes = ALONE,
    ) -> None:
        super().__init__()
        kind, blocks = TRUNKS[settings.trunk]
        norm: Norm = nn.BatchNorm2d
        if bn_group is not None:
            norm = partial(GhostBatchNorm2d, group=bn_group)
        elif processes.count > 1:
            norm = partial(SynchronisedBatchNorm2d, processes=processes)
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
        # In float32 for any type of maps: rounding the mean to bf16 would undo the averaging.
        maps: Tensor = self.stages(self.stem(views))
        return maps.mean((2, 3), dtype=torch.promote_types(maps.dtype, torch.float32))


class PixelTrunk(nn.Module):
    """No trunk: the features are the normalised image, averaged to a smaller square if needed."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def forward(self, views: Tensor) -> Tensor:
        """B x 3 x S x S float -> B x ``features`` float, ``features`` being 3 T T with T <= S."""
        if views[0].numel() > self.features:
            views = F.adaptive_avg_pool2d(views, math.isqrt(self.features // 3))
        return views.flatten(1)


class Encoder(nn.Module):
    """f of the paper: trunk, head, L2 normalisation.

    Parameters are drawn only from ``seed``; the global generator is not changed.

    Examples:
        >>> import torch
        >>> from tausweep.model import Encoder
        >>> from tausweep.study import load
        >>> run = load("benchmarks/demo.yaml").runs()[0]
        >>> encoder = Encoder(run.settings.encoder, run.seed)
        >>> encoder(torch.rand(2, 3, 12, 12)).shape  # two embeddings, rows of length 1
        torch.Size([2, 128])
    """

    def __init__(
        self,
        settings: EncoderSettings,
        seed: int,
        bn_group: int | None = None,
        processes: Processes = ALONE,
    ) -> None:
        super().__init__()
        self.trunk: Trunk | PixelTrunk
        self.head: nn.Module
        if settings.trunk == "pixels":
            self.trunk, self.head = PixelTrunk(settings.dim), nn.Identity()
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.trunk = Trunk(settings, bn_group, processes)
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
        """Embeddings: B x 3 x H x W float -> B x d float32, rows of length 1.

        The head is float32 even under autocast: ``precision: bf16`` applies only to the trunk.
        """
        features = self.trunk(views)
        with torch.autocast(features.device.type, enabled=False):
            return self.embed(features)

    def embed(self, features: Tensor) -> Tensor:
        """Embeddings of pooled features, B x D -> B x d float32; normalised in float32."""
        return F.normalize(self.head(features).float(), dim=1)
