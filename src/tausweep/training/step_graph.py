"""A step over fixed tensors, recorded once and replayed: one launch in the place of hundreds."""

from __future__ import annotations

from collections.abc import Callable

import torch


class StepGraph:
    """``function()`` as a CUDA graph on the current stream; a plain call elsewhere.

    At batch 128 a GPU computes a step faster than a host can ask for its 470 kernels one by one.
    The function reads and writes the same tensors in every call, and nothing in it waits for the
    host. It must have run before on this stream in this process, for libraries set themselves up
    in their first call, which cannot be recorded.

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
            # On the run's own stream: graphs recorded on one stream share cuBLAS's workspace, so
            # two of them could not run at once. Other threads may go on using CUDA meanwhile.
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                function()

    def __call__(self) -> None:
        """Take the step."""
        if self._graph is None:
            self._function()
        else:
            self._graph.replay()
