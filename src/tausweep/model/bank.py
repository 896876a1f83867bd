"""The memory bank: one embedding for each training instance (InstDisc; docs/protocol.md)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


class MemoryBank:
    """N entries ``v_j``, each a moving average of its instance's embeddings.

    Only ``update`` changes them. Call it after the optimiser step with that step's embeddings, so
    that the loss of a step sees the bank of the previous step.

    Attributes:
        entries: N x d float32. At first uniform in ``+-1/sqrt(d/3)`` (length about 1, not
            normalised); an entry has length 1 from its first update on.
        momentum: m of ``v <- normalise(m v + (1 - m) f)``.

    Examples:
        >>> import torch
        >>> from tausweep.model import MemoryBank
        >>> bank = MemoryBank(size=3, dim=2, momentum=0.0, seed=0)
        >>> bank.update(torch.tensor([1]), torch.tensor([[3.0, 4.0]]))
        >>> [round(x, 6) for x in bank.entries[1].tolist()]
        [0.6, 0.8]
    """

    def __init__(
        self,
        size: int,
        dim: int,
        momentum: float,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """Fill the bank at random.

        Args:
            size: N >= 1, the number of instances.
            dim: d >= 1, the length of an embedding.
            momentum: m in 0..1; at 0 an entry is its instance's latest embedding.
            seed: seed of the CPU generator that draws the entries, the same on every device.
            device: where the entries live.

        Raises:
            ValueError: with the argument, its value and what is allowed.
        """
        for name, value in (("size", size), ("dim", dim)):
            if value < 1:
                raise ValueError(f"{name} of the bank must be >= 1, not {value}")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum of the bank must lie in 0..1, not {momentum}")
        bound = 1 / math.sqrt(dim / 3)
        generator = torch.Generator().manual_seed(seed)
        uniform = torch.rand(size, dim, generator=generator, dtype=torch.float32)
        self.entries = uniform.mul_(2 * bound).sub_(bound).to(device)
        self.momentum = momentum

    @torch.no_grad()
    def update(self, index: Tensor, embeddings: Tensor) -> None:
        """Move the batch's entries: ``v <- normalise(m v + (1 - m) f)``, in float32.

        Args:
            index: B int64, the instances of the batch, each once; on any device. On a CPU it is
                checked here and now; elsewhere by the device, without waiting for it.
            embeddings: B x d floats of any precision, ``f(x)``.

        Raises:
            ValueError: if the shapes do not fit, or if an index on a CPU lies outside the bank or
                appears twice: the order of two writes to one entry is not defined, so a run could
                not be repeated.
        """
        size, dim = self.entries.shape
        if index.ndim != 1 or index.dtype != torch.int64:
            raise ValueError(f"index must be B int64, not {tuple(index.shape)} {index.dtype}")
        if embeddings.shape != (len(index), dim):
            raise ValueError(
                f"embeddings must be {len(index)} x {dim} like index and bank, "
                f"not {tuple(embeddings.shape)}"
            )
        if len(index) == 0:
            return
        ordered = index.sort().values
        repeated = ordered[1:] == ordered[:-1]
        if index.device.type == "cpu":
            if ordered[0] < 0 or ordered[-1] >= size:
                raise ValueError(
                    f"index must lie in 0..{size - 1}, the rows of the bank, "
                    f"not in {ordered[0]}..{ordered[-1]}"
                )
            if repeated.any():
                raise ValueError(
                    f"index must name each instance once, but has {ordered[1:][repeated][0]} twice"
                )
        else:
            torch._assert_async(~repeated.any(), "index of a bank update names an instance twice")
        with torch.autocast(self.entries.device.type, enabled=False):
            index = index.to(self.entries.device)
            moved = self.entries[index].mul_(self.momentum)
            moved.add_(embeddings.to(self.entries), alpha=1 - self.momentum)
            # float32: 1e-12, the guard for a zero vector, would itself be zero in float16.
            self.entries.index_copy_(0, index, F.normalize(moved, dim=1))
