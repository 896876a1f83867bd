"""Encoders have the shapes, sizes and initialisation of docs/protocol.md."""

from typing import Any

import pytest
import torch
from torch import nn

import tolerance
from tausweep.model.encoder import Encoder, GhostBatchNorm2d, Trunk
from tausweep.study import EncoderSettings

pytestmark = pytest.mark.numerical

# A GPU machine has not got it.
resnet18 = pytest.importorskip("torchvision.models").resnet18
resnet50 = pytest.importorskip("torchvision.models").resnet50


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_resnet18_on_32_px_has_the_papers_shapes_and_parameter_counts() -> None:
    encoder = Encoder(EncoderSettings(), seed=0).eval()
    images = torch.zeros(2, 3, 32, 32)
    trunk: Any = encoder.trunk
    assert trunk.stem(images).shape == (2, 64, 32, 32)
    assert trunk.stages(trunk.stem(images)).shape == (2, 512, 4, 4)
    assert parameters(encoder.trunk) == 11_168_832
    assert parameters(encoder.head) == 65_664


def test_resnet50_with_imagenet_stem_is_torchvisions_without_its_classifier() -> None:
    trunk = Trunk(EncoderSettings(trunk="resnet50", stem="imagenet"))
    reference = resnet50()
    assert parameters(trunk) == parameters(reference) - parameters(reference.fc)
    assert trunk.stem(torch.zeros(1, 3, 224, 224)).shape == (1, 64, 56, 56)
    assert trunk.features == 2048


def test_trunk_computes_what_torchvisions_resnet18_computes() -> None:
    """Same weights, same features: ours differs from torchvision only by stem, width and head."""
    trunk = Trunk(EncoderSettings(stem="imagenet")).eval()
    reference = resnet18().eval()
    ours = list(trunk.state_dict().values())
    theirs = {k: v for k, v in reference.state_dict().items() if not k.startswith("fc.")}
    assert [t.shape for t in ours] == [t.shape for t in theirs.values()]
    reference.load_state_dict(dict(zip(theirs, ours, strict=True)), strict=False)
    reference.fc = nn.Identity()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = trunk(images), reference(images)
    # At most 512 channels of 3 x 3.
    allowed = tolerance.network(18, 9 * 512) * float(expected.abs().max())
    tolerance.check(found, expected, allowed)


@pytest.mark.parametrize("size", [8, 16, 33])
def test_miniature_trunk_takes_small_images(size: int) -> None:
    encoder = Encoder(EncoderSettings(trunk="resnet10", width=8, dim=16), seed=0).eval()
    embeddings = encoder(torch.randn(3, 3, size, size))
    assert embeddings.shape == (3, 16)
    lengths = embeddings.detach().double().norm(dim=1)
    tolerance.check(lengths, 1, tolerance.unit(16, torch.float32))


def test_parameters_belong_to_the_seed_and_leave_the_global_generator_alone() -> None:
    settings = EncoderSettings(trunk="resnet10", width=8)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, other = Encoder(settings, 1), Encoder(settings, 1), Encoder(settings, 2)
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    trunks: list[Any] = [one.trunk, other.trunk]
    assert not torch.equal(*(trunk.stem.conv.weight for trunk in trunks))


def test_mlp_head_has_one_hidden_layer_of_the_features_width() -> None:
    encoder = Encoder(EncoderSettings(trunk="resnet10", width=8, head="mlp"), seed=0)
    assert parameters(encoder.head) == 64 * 64 + 64 + 64 * 128 + 128


def test_embeddings_of_zero_features_are_finite() -> None:
    encoder = Encoder(EncoderSettings(trunk="resnet10", width=8), seed=0)
    head: Any = encoder.head
    head.bias.data.zero_()
    assert torch.isfinite(encoder.embed(torch.zeros(1, 64))).all()


def test_ghost_batch_norm_normalises_each_group_by_itself() -> None:
    norm = GhostBatchNorm2d(3, group=4)
    x = torch.randn(10, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    out = norm(x)
    for part in out.split(4):
        # A mean of 100, or of the last group's 50, subtracted from each and taken again.
        allowed = 2 * tolerance.summed(100, torch.float32) * float(part.abs().max())
        tolerance.check(part.detach().mean((0, 2, 3)), 0, allowed)
    plain = nn.BatchNorm2d(3)
    plain(x[:4])
    allowed = 2 * tolerance.summed(100, torch.float32) * 0.1 * float(x.abs().max())
    tolerance.check(norm.running_mean, plain.running_mean, allowed)
    assert torch.equal(
        norm.eval()(x),
        nn.functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.1, norm.eps
        ),
    )


def test_ghost_batch_norm_of_the_whole_batch_is_batch_norm() -> None:
    x = torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(GhostBatchNorm2d(3, group=8)(x), nn.BatchNorm2d(3)(x))
