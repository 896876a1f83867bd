"""The batches of an epoch: its instances in order, and one or two views of each."""

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

STREAMS = ("train", "train, second view")
"""Streams of random numbers. The first view's numbers do not depend on whether there is a
second."""

Drawn = tuple[Tensor, tuple[ViewParameters, ...]]
"""Order (N int64) of an epoch, and the parameters of each view of its instances."""


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
        self._next: tuple[int, Future[Drawn]] | None = None
        self._streams = STREAMS[: settings.loss.view_count]

    def of_epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The epoch's batches from a step on.

        Yields:
            The instances of the whole batch (B int64), and the views of this process's part
            (b x 3 x S x S), both on the device; with two views of each 2 b x 3 x S x S, all first
            views before all second ones. The last batch of an epoch may be smaller.
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
        self, chunks: list[tuple[Tensor, ...]], drawn: tuple[ViewParameters, ...]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Index and views of every batch; the views of a chunk are rendered together."""
        parts = [[self._sharing.part(index) for index in chunk] for chunk in chunks]
        rendered = zip(
            *(self._pixels.views(map(torch.cat, parts), each) for each in drawn), strict=True
        )
        for chunk, own, views in zip(chunks, parts, rendered, strict=True):
            split = zip(*(each.split([len(p) for p in own]) for each in views), strict=True)
            for index, part in zip(chunk, split, strict=True):
                yield index.to(self._device), part[0] if len(part) == 1 else torch.cat(part)

    def _drawn(self, epoch: int) -> Drawn:
        """Order and view parameters of an epoch, placed where pixels are looked up."""
        if not self.ahead:
            return self._placed(self._draw(epoch))
        if self._next is None or self._next[0] != epoch:
            self._next = epoch, self._drawing.submit(self._draw, epoch)
        found = self._next[1].result()
        if epoch + 1 < self._settings.pretrain.epochs:
            self._next = epoch + 1, self._drawing.submit(self._draw, epoch + 1)
        return self._placed(found)

    def _draw(self, epoch: int) -> Drawn:
        """Whatever the seed decides in an epoch, ready to be placed."""
        seed, settings = self._settings.seed, self._settings.views
        order = rendering.order(len(self._pixels), seed, epoch)
        drawn = [self._pixels.draw(settings, seed, epoch, stream) for stream in self._streams]
        staged = [self._pixels.staged(order, views) for views in drawn]
        return staged[0][0], tuple(views for _, views in staged)

    def _placed(self, drawn: Drawn) -> Drawn:
        order, views = drawn
        placed = [self._pixels.placed(order, each) for each in views]
        return placed[0][0], tuple(each for _, each in placed)
