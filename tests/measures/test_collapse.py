"""Embeddings that float32 cannot tell apart have collapsed."""

import math

import pytest
import torch

from tausweep.measures import geometry

pytestmark = pytest.mark.numerical


@pytest.mark.parametrize("d", [2, 16, 128, 2048])
def test_points_that_float32_cannot_tell_apart_have_collapsed(d: int) -> None:
    generator = torch.Generator().manual_seed(d)
    centre = torch.randn(d, generator=generator, dtype=torch.float64)
    noise = torch.randn(300, d, generator=generator, dtype=torch.float64)
    noise -= noise @ centre[:, None] / centre.square().sum() * centre
    # A point at a small distance e from the centre, and thus 1 - s = e^2 for a pair.
    noise *= centre.norm() / noise.norm(dim=1, keepdim=True)
    limit = math.sqrt(d * 2.0**-24)
    assert geometry.collapsed((centre + 0.9 * limit * noise).float())
    assert not geometry.collapsed((centre + 1.1 * limit * noise).float())
    same = centre.float().repeat(300, 1)
    assert geometry.collapsed(same)
    assert geometry.uniformity(same) == pytest.approx(0, abs=2 * 2 * (d + 4) * 2.0**-24)
    assert not geometry.collapsed(torch.cat([same, -same[:1]]))
    assert not geometry.collapsed(noise)


def test_uniformity_of_a_collapse_is_at_most_jensens_bound() -> None:
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.nn.functional.normalize(x, dim=1)
    similarity = (x @ x.T)[~torch.eye(64, dtype=torch.bool)]
    assert geometry.uniformity(x) <= 4 * float((1 - similarity).mean())
