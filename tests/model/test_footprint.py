"""Operations, parameters and activations are those that torch counts."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tausweep.model import footprint
from tausweep.model.encoder import Encoder
from tausweep.study import EncoderSettings

pytestmark = pytest.mark.numerical


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        (EncoderSettings(), 32),
        (EncoderSettings(trunk="resnet10", width=16), 16),
        (EncoderSettings(trunk="resnet50", stem="imagenet"), 224),
        (EncoderSettings(trunk="resnet34", width=32), 33),
    ],
)
def test_flops_are_those_that_torch_counts(settings: EncoderSettings, size: int) -> None:
    encoder = Encoder(settings, 0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder(torch.zeros(1, 3, size, size))
    assert footprint.forward_flops(settings, size) == pytest.approx(
        counter.get_total_flops(), rel=1e-6
    )


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("trunk", ["resnet18", "resnet50"])
def test_parameters_are_those_of_the_encoder(trunk: str, head: str) -> None:
    settings = EncoderSettings(trunk=trunk, head=head, width=16, dim=24)
    encoder = Encoder(settings, 0)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert footprint.parameter_count(settings) == count
    assert footprint.feature_count(settings) == encoder.trunk.features


def kept(encoder: Encoder, views: Tensor) -> int:
    """Bytes that autograd keeps of a forward pass, the parameters apart."""
    own = {parameter.untyped_storage().data_ptr() for parameter in encoder.parameters()}
    storages = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        encoder(views)
    return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        (EncoderSettings(width=16), 32),
        (EncoderSettings(trunk="resnet10", width=8, head="mlp"), 16),
        (EncoderSettings(trunk="resnet50", stem="imagenet", width=16), 96),
    ],
)
def test_activations_are_those_that_autograd_keeps(settings: EncoderSettings, size: int) -> None:
    encoder = Encoder(settings, 0).train()
    two, six = (kept(encoder, torch.zeros(count, 3, size, size)) for count in (2, 6))
    assert (six - two) / 4 == pytest.approx(footprint.activation_bytes(settings, size), rel=0.05)
