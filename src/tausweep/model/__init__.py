"""What is trained: encoder and memory bank, and their size.

For a notebook: ``Encoder`` and ``MemoryBank``, which are loaded (with torch) on first access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tausweep.model.bank import MemoryBank
    from tausweep.model.encoder import Encoder

__all__ = ["Encoder", "MemoryBank"]


def __getattr__(name: str) -> Any:
    if name == "Encoder":
        from tausweep.model.encoder import Encoder

        return Encoder
    if name == "MemoryBank":
        from tausweep.model.bank import MemoryBank

        return MemoryBank
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
