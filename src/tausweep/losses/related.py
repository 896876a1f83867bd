"""Losses of others, and the paper's losses with negatives from elsewhere than the bank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from tausweep.losses.cosine_tau import CosineTau
from tausweep.losses.decoupled import Decoupled
from tausweep.losses.dual_temperature import DualTemperature
from tausweep.losses.elsewhere import Elsewhere
from tausweep.losses.hcl import Hcl
from tausweep.losses.isogclr import Isogclr
from tausweep.losses.learnable_tau import LearnableTau
from tausweep.losses.macl import Macl
from tausweep.losses.nt_xent import NtXent
from tausweep.losses.simple_var import SimpleVar
from tausweep.losses.supcon import SupCon
from tausweep.study import LOSSES, LossSettings

_LOSSES: dict[str, Callable[..., nn.Module]] = {
    "nt_xent": NtXent,
    "decoupled": Decoupled,
    "hcl": Hcl,
    "dual_temperature": DualTemperature,
    "simple_var": SimpleVar,
    "cosine_tau": CosineTau,
    "learnable_tau": LearnableTau,
    "isogclr": Isogclr,
    "macl": Macl,
    "supcon": SupCon,
}


def make(loss: LossSettings, size: int) -> nn.Module:
    """A shipped loss as a module, called with a batch.

    Args:
        loss: The loss's settings.
        size: N, training images.
    """
    name = loss.shipped
    assert name is not None
    if name in LOSSES:
        return Elsewhere(name, loss.temperature, loss.negatives, loss.alpha)
    wanted: dict[str, Any] = dict(loss.options or {})
    if loss.temperature is not None:
        wanted["temperature"] = loss.temperature
    if name == "isogclr":
        wanted["size"] = size
    return _LOSSES[name](**wanted)
