"""The paper's family of losses between anchors and a memory bank.

For a notebook: ``make`` gives one of them by its name.
"""

from tausweep.losses.family import NAMES, Loss, hard_set, make, penalties

__all__ = ["make"]
