"""The paper's family of losses between anchors and a memory bank."""

from tausweep.losses.family import NAMES, Loss, hard_set, make, penalties

__all__ = ["NAMES", "Loss", "hard_set", "make", "penalties"]
