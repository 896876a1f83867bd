"""A step over fixed tensors, recorded once and replayed: one launch instead of hundreds."""

from __future__ import annotations

from collections.abc import Callable

import torch


class StepGraph:
    """``function()`` as a CUDA graph on the current stream; a plain call elsewhere.

    At batch 128 a GPU computes a step faster than the host can launch its 470 kernels one by one.
    The function must use the same tensors in every call and must not wait for the host. It must
    also have run once before on this stream in this process, because libraries initialise in their
    first call, which cannot be recorded.

    Args:
        function: The step.
        device: Where its tensors are.
    """

    def __init__(self, function: Callable[[], None], device: torch.device) -> None:
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        if device.type == "cuda":
            stream = torch.cuda.current_stream(device)
            stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            # On the run's own stream, because graphs recorded on the same stream share cuBLAS's
            # workspace and so could not run concurrently. Other threads may use CUDA meanwhile.
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                function()

    def __call__(self) -> None:
        """Take the step."""
        if self._graph is None:
            self._function()
        else:
            self._graph.replay()
