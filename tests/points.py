"""Random points, as they are and as unit vectors in float64."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

Matrix = NDArray[np.float64]


def gaussian(n: int, d: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def clustered(n: int, d: int, classes: int, spread: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    labels = torch.arange(n) % classes
    return gaussian(classes, d, seed)[labels] + spread * gaussian(n, d, seed + 1), labels


def near_bank(
    m: int, n: int, d: int, closeness: float, noise: float, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Anchors near (closeness 1) or opposite (-1) to their own entry of a random unit bank."""
    generator = torch.Generator().manual_seed(seed)
    bank = normalize(torch.randn(n, d, generator=generator), dim=1)
    index = torch.randperm(n, generator=generator)[:m]
    apart = normalize(torch.randn(m, d, generator=generator), dim=1)
    return normalize(closeness * bank[index] + noise * apart, dim=1), bank, index


def unit(x: Tensor) -> Matrix:
    rows: Matrix = x.double().numpy()
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
