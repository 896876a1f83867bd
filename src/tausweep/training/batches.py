"""The batches of an epoch: its instances in order, and a view of each."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import torch
from torch import Tensor

from tausweep.machine.batch_sharing import BatchSharing
from tausweep.study import RunSettings
from tausweep.views import rendering
from tausweep.views.batches import Pixels
from tausweep.views.parameters import ViewParameters


class EpochBatches:
    """Index and views of every step of an epoch, as functions of seed, epoch and instance.

    Args:
        pixels: The training images.
        settings: The run's settings: seed, views, batch size, epochs.
        sharing: Decides which part of each batch this process renders.
        device: The device for the views.

    Attributes:
        ahead: Whether the next epoch is drawn on the CPU during the current one (for GPUs).
    """

    def __init__(
        self, pixels: Pixels, settings: RunSettings, sharing: BatchSharing, device: torch.device
    ) -> None:
        self._pixels, self._settings, self._sharing, self._device = (
            pixels,
            settings,
            sharing,
            device,
        )
        self.ahead = device.type != "cpu"
        self._drawing = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[tuple[Tensor, ViewParameters]]] | None = None

    def of_epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The epoch's batches from a step on.

        Yields:
            The instances of the whole batch (B int64), and the views of this process's part
            (b x 3 x S x S), both on the device. The last batch of an epoch may be smaller.
        """
        order, views = self._drawn(epoch)
        batches = order.split(self._settings.pretrain.batch_size)
        # A resumed epoch begins with a whole chunk, because only images rendered in the same shapes
        # as without interruption have the same bits.
        chunk = max(1, self._pixels.images_at_once() // self._settings.pretrain.batch_size)
        begin = first_step // chunk * chunk
        chunks = [batches[i : i + chunk] for i in range(begin, len(batches), chunk)]
        yield from islice(self._rendered(chunks, views), first_step - begin, None)

    def _rendered(
        self, chunks: list[tuple[Tensor, ...]], drawn: ViewParameters
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Index and views of every batch; the views of a chunk are rendered together."""
        parts = [[self._sharing.part(index) for index in chunk] for chunk in chunks]
        rendered = self._pixels.views(map(torch.cat, parts), drawn)
        for chunk, own, views in zip(chunks, parts, rendered, strict=True):
            for index, part in zip(chunk, views.split([len(p) for p in own]), strict=True):
                yield index.to(self._device), part

    def _drawn(self, epoch: int) -> tuple[Tensor, ViewParameters]:
        """Order (N int64) and view parameters of an epoch, placed where pixels are looked up."""
        if not self.ahead:
            return self._pixels.placed(*self._draw(epoch))
        if self._next is None or self._next[0] != epoch:
            self._next = epoch, self._drawing.submit(self._draw, epoch)
        found = self._next[1].result()
        if epoch + 1 < self._settings.pretrain.epochs:
            self._next = epoch + 1, self._drawing.submit(self._draw, epoch + 1)
        return self._pixels.placed(*found)

    def _draw(self, epoch: int) -> tuple[Tensor, ViewParameters]:
        seed = self._settings.seed
        order = rendering.order(len(self._pixels), seed, epoch)
        return self._pixels.staged(order, self._pixels.draw(self._settings.views, seed, epoch))
