"""A pretend accelerator: a CPU's values under CUDA's rules of devices and of waiting.

Its tensors say that they lie on torch's ``meta`` device, for which autograd needs no driver, and
hold a tensor of the CPU. Every operation is checked as CUDA checks it: no tensor of the CPU beside
one of the device, unless it has no dimensions or indexes. Whatever makes the host wait, which is
every look at a value and every copy from memory that is not pinned, is counted with the line of
tausweep that asked for it. What computes counts as a launched kernel; a view of a tensor does not.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")

WAITS = {
    "aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::is_nonzero",
    "aten::masked_select", "aten::_unique2", "aten::unique_consecutive", "aten::unique_dim",
    "aten::repeat_interleave.Tensor", "aten::_linalg_eigh", "aten::_linalg_svd",
    "aten::bincount", "aten::histc",
}  # fmt: skip
"""Operations whose result, or its size, the host reads."""
COPIES = {"aten::_to_copy", "aten::copy_"}
INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
UNORDERED = {
    "aten::index_add", "aten::index_add_", "aten::scatter_add", "aten::scatter_add_",
    "aten::scatter_reduce", "aten::scatter_reduce_", "aten::cumsum", "aten::cumsum_",
    "aten::cumprod", "aten::logcumsumexp", "aten::histc", "aten::put_", "aten::segment_reduce",
    "aten::_embedding_bag", "aten::kthvalue",
}  # fmt: skip
"""Operations whose threads add floats in any order on a GPU, or whose repeatable forms are slow."""
UNLAUNCHED = {
    "aten::empty", "aten::empty_strided", "aten::empty_like", "aten::new_empty", "aten::detach",
    "aten::new_empty_strided", "aten::_unsafe_view", "aten::is_pinned", "aten::_pin_memory",
    "aten::set_", "aten::lift_fresh",
}  # fmt: skip
"""Operations that compute nothing."""


class DeviceMismatchError(RuntimeError):
    """An operation that CUDA refuses, for its tensors lie on two devices."""


@dataclass
class Accelerator:
    """What happened on the device since it was made or last read.

    Attributes:
        waits: How often the host waited, by operation and line.
        kernels: Launched kernels, by operation.
        unordered: Operations of ``UNORDERED``, by operation and line; since it was made.
    """

    waits: Counter[str] = field(default_factory=Counter)
    kernels: Counter[str] = field(default_factory=Counter)
    unordered: Counter[str] = field(default_factory=Counter)

    def read(self) -> tuple[Counter[str], int]:
        """The waits and the number of kernels since the last reading."""
        found = self.waits, self.kernels.total()
        self.waits, self.kernels = Counter(), Counter()
        return found

    def dispatch(self, operation: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Do an operation as the device would.

        Raises:
            DeviceMismatchError: CUDA would refuse it.
        """
        name = operation._schema.name
        tensors = [x for x in tree_leaves((arguments, options)) if isinstance(x, Tensor)]
        there = [tensor for tensor in tensors if isinstance(tensor, Placed)]
        asked = options.get("device")
        placed = bool(there) if asked is None else torch.device(asked).type == DEVICE.type
        if not there and not placed:
            return operation(*arguments, **options)
        if name in COPIES:
            self._copied(name, arguments, options, placed)
        else:
            self._check(name, tensors, arguments)
        if {name, f"{name}.{operation._schema.overload_name}"} & WAITS:
            self.waits[f"{name} at {_line()}"] += 1
        if name in UNORDERED and any(tensor.is_floating_point() for tensor in there):
            self.unordered[f"{name} at {_line()}"] += 1
        if not operation.is_view and name not in UNLAUNCHED:
            self.kernels[name] += 1
        if asked is not None:
            options = options | {"device": torch.device("cpu")}
        found = operation(*tree_map(_held, arguments), **tree_map(_held, options))
        if not placed:
            return found

        def wrapped(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            # What changes an argument in its place returns that argument.
            same = [tensor for tensor in there if tensor.held is value]
            return same[0] if same else Placed(value, self)

        return tree_map(wrapped, found)

    def _copied(
        self, name: str, arguments: tuple[Any, ...], options: dict[str, Any], placed: bool
    ) -> None:
        """Count a copy between host and device that the host waits for."""
        source = arguments[1] if name == "aten::copy_" else arguments[0]
        target = isinstance(arguments[0], Placed) if name == "aten::copy_" else placed
        asynchronous = options.get("non_blocking", False) or (
            name == "aten::copy_" and len(arguments) > 2 and arguments[2]
        )
        if isinstance(source, Placed) and not target:
            self.waits[f"{name} to the host at {_line()}"] += 1
        if not isinstance(source, Placed) and target and not asynchronous:
            self.waits[f"{name} from the host at {_line()}"] += 1

    def _check(self, name: str, tensors: list[Tensor], arguments: tuple[Any, ...]) -> None:
        there = any(isinstance(tensor, Placed) for tensor in tensors)
        here = [t for t in tensors if not isinstance(t, Placed) and t.dim() > 0]
        if not there or not here:
            return
        if name in INDEXED and isinstance(arguments[0], Placed):
            self.waits[f"{name} by an index of the host at {_line()}"] += 1
            return
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in here)
        raise DeviceMismatchError(f"{name} at {_line()}: {shapes} of the CPU beside the device's")


class Placed(Tensor):
    """A tensor on the pretend device.

    Attributes:
        held: Its values, on the CPU.
    """

    held: Tensor
    accelerator: Accelerator
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor, accelerator: Accelerator) -> Placed:
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=DEVICE,
            requires_grad=False,
        )
        made.held, made.accelerator = held, accelerator
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Placed({tuple(self.shape)}, {self.dtype})"

    def tolist(self) -> Any:
        """Values, which the host waits for."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        found = next(x for x in tree_leaves((args, kwargs or {})) if isinstance(x, Placed))
        return found.accelerator.dispatch(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Also takes what makes a tensor from none."""

    def __init__(self, accelerator: Accelerator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._accelerator = accelerator

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return self._accelerator.dispatch(func, args, kwargs or {})


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Placed) else value


def values(tensor: Tensor) -> Tensor:
    """The values of a tensor of either device, and nobody waits."""
    held: Tensor = _held(tensor.detach())
    return held


def _line() -> str:
    """The line of tausweep that is being run."""
    for frame in reversed(traceback.extract_stack()):
        if "/src/tausweep/" in frame.filename:
            return f"{frame.filename.rpartition('/tausweep/')[2]}:{frame.lineno}"
    return "no line of tausweep"


@contextmanager
def pretended() -> Iterator[Accelerator]:
    """The device while the block lasts; torch is as before after it.

    Pinned memory is not there on a machine without a driver, so a copy from the host counts as one
    that waits unless it says otherwise.
    """
    made_tensor, autocast = torch.tensor, torch.autocast
    converting = torch.__future__.get_overwrite_module_params_on_conversion()

    def tensor(data: Any, *, device: Any = None, **options: Any) -> Tensor:
        made: Tensor = made_tensor(data, **options)
        return made if device is None else made.to(device)

    def mixed(device: str, dtype: Any = None, enabled: bool = True) -> Any:
        # Autocast follows a tensor's own kind of device, and has no rules for this one.
        there = device == DEVICE.type
        return autocast("cpu" if there else device, dtype, enabled=enabled and not there)

    patches: list[tuple[str, Callable[..., Any]]] = [("tensor", tensor), ("autocast", mixed)]
    accelerator = Accelerator()
    with (
        mock.patch.object(torch, *patches[0]),
        mock.patch.object(torch, *patches[1]),
        _Mode(accelerator),
    ):
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            yield accelerator
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(converting)
