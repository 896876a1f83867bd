"""Views and plain images of prepared data, in either form.

Squares are used directly. Originals are decoded by threads, some groups of images ahead of the
current one, and cropped to the size of the views there. Mirroring, colour and blur follow on the
device, as for squares. A view depends only on its image and its parameters, not on the group or the
threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from tausweep.data import decoding
from tausweep.data.originals import Originals
from tausweep.data.sources import Channels
from tausweep.study import ViewSettings
from tausweep.views import rendering
from tausweep.views.parameters import ViewParameters

KeptImages = NDArray[np.uint8] | Tensor | Originals

IMAGES_AHEAD = 256
"""How many images to decode ahead, in whole groups: 39 MB at 224 pixels."""


class Pixels(Protocol):
    """The images of a split as views on a device.

    Groups are int64 index tensors, on the CPU or where ``placed`` puts them.
    """

    def __len__(self) -> int: ...

    def draw(
        self, settings: ViewSettings, seed: int, number: int, stream: str = "train"
    ) -> ViewParameters:
        """Parameters of one view of each image; see ``views.draw``."""

    def images_at_once(self) -> int:
        """The best number of images per group; see ``views.images_at_once``."""

    def staged(self, order: Tensor, drawn: ViewParameters) -> tuple[Tensor, ViewParameters]:
        """An epoch's order and views, prepared for ``placed`` while others compute."""

    def placed(self, order: Tensor, drawn: ViewParameters) -> tuple[Tensor, ViewParameters]:
        """The same, moved without waiting to where ``views`` looks them up."""

    def views(self, groups: Iterable[Tensor], drawn: ViewParameters) -> Iterator[Tensor]:
        """The view of each image of each group, float32 B x 3 x S x S, normalised."""

    def plain(self, groups: Iterable[Tensor]) -> Iterator[Tensor]:
        """The images of each group without augmentation, in the same shape."""


def pixels(
    images: KeptImages, size: int, mean: Channels, std: Channels, device: torch.device
) -> Pixels:
    """The pixels of a split.

    Args:
        images: ``Prepared.train_images`` or ``.test_images``; or squares as a tensor on ``device``,
            which are then not copied again.
        size: Side S of the views in pixels.
        mean: Mean of each channel, for images in [0, 1].
        std: Standard deviation of each channel.
        device: The device for the views.
    """
    if isinstance(images, Originals):
        return OriginalPixels(images, size, mean, std, device)
    return SquarePixels(images, size, mean, std, device)


def resident(images: KeptImages, device: torch.device) -> KeptImages:
    """Squares brought to the device as a whole: 150 MB for CIFAR, so no loader is in the way.

    Originals are returned unchanged.
    """
    if isinstance(images, np.ndarray):
        return torch.from_numpy(np.array(images)).to(device)
    return images


Kept = TypeVar("Kept", bound=KeptImages)


@dataclass(frozen=True, eq=False)
class _Split(Generic[Kept]):
    """A split's images of either form, and how to make their views."""

    images: Kept
    size: int
    mean: Channels
    std: Channels
    device: torch.device

    def __len__(self) -> int:
        return len(self.images)

    def draw(
        self, settings: ViewSettings, seed: int, number: int, stream: str = "train"
    ) -> ViewParameters:
        """See ``Pixels.draw``."""
        height, width = self._extents()
        return rendering.draw(settings, height, width, len(self), seed, number, stream)

    def _extents(self) -> tuple[int, int] | tuple[Tensor, Tensor]:
        """Height and width of the images; one per image if they differ."""
        raise NotImplementedError


class SquarePixels(_Split[NDArray[np.uint8] | Tensor]):
    """Squares of one size, N x H x W x 3 uint8: an array, or a tensor on the device."""

    def _extents(self) -> tuple[int, int]:
        height, width = self.images.shape[1:3]
        return height, width

    def images_at_once(self) -> int:
        """See ``Pixels.images_at_once``."""
        return rendering.images_at_once(*self._extents(), self.size, self.device)

    def staged(self, order: Tensor, drawn: ViewParameters) -> tuple[Tensor, ViewParameters]:
        """See ``Pixels.staged``: in pinned memory, which a GPU can copy asynchronously."""
        if self.device.type != "cuda":
            return order, drawn
        return order.pin_memory(), drawn.pinned()

    def placed(self, order: Tensor, drawn: ViewParameters) -> tuple[Tensor, ViewParameters]:
        """See ``Pixels.placed``: on the device."""
        return order.to(self.device, non_blocking=True), drawn.to(self.device)

    def views(self, groups: Iterable[Tensor], drawn: ViewParameters) -> Iterator[Tensor]:
        """See ``Pixels.views``."""
        for index in groups:
            taken = drawn.take(index).to(self.device)
            yield rendering.render(self._taken(index), taken, self.size, self.mean, self.std)

    def plain(self, groups: Iterable[Tensor]) -> Iterator[Tensor]:
        """See ``Pixels.plain``: whole squares, resized if needed."""
        for index in groups:
            yield rendering.plain(self._taken(index), self.size, self.mean, self.std)

    def _taken(self, index: Tensor) -> Tensor:
        if isinstance(self.images, Tensor):
            return self.images[index.to(self.device)]
        return torch.from_numpy(np.array(self.images[index.numpy()])).to(self.device)


Cut = Callable[[Image, int], Tensor]
"""Maps an image and its row in the split to a square, uint8 S x S x 3."""


class OriginalPixels(_Split[Originals]):
    """Images of their original sizes, decoded when they are needed.

    As many threads decode as torch has. They work two groups ahead, or ``IMAGES_AHEAD`` images if
    that is more.
    """

    def _extents(self) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.images.heights), torch.from_numpy(self.images.widths)

    def images_at_once(self) -> int:
        """See ``Pixels.images_at_once``: the squares to render already have the views' size."""
        return rendering.images_at_once(self.size, self.size, self.size, self.device)

    def staged(self, order: Tensor, drawn: ViewParameters) -> tuple[Tensor, ViewParameters]:
        """See ``Pixels.staged``: unchanged."""
        return order, drawn

    def placed(self, order: Tensor, drawn: ViewParameters) -> tuple[Tensor, ViewParameters]:
        """See ``Pixels.placed``: on the host, which decodes them."""
        return order, drawn

    def views(self, groups: Iterable[Tensor], drawn: ViewParameters) -> Iterator[Tensor]:
        """See ``Pixels.views``."""
        boxes = torch.stack([drawn.top, drawn.left, drawn.height, drawn.width], dim=1)

        def cut(image: Image, row: int) -> Tensor:
            top, left, height, width = boxes[row].tolist()
            return decoding.crop(image, top, left, height, width, self.size)

        for index, squares in self._squares(groups, cut):
            whole = _uncropped(drawn.take(index), self.size).to(self.device)
            yield rendering.render(squares, whole, self.size, self.mean, self.std)

    def plain(self, groups: Iterable[Tensor]) -> Iterator[Tensor]:
        """See ``Pixels.plain``: the evaluated centre, see ``decoding.centre``."""
        for _, squares in self._squares(groups, lambda i, _: decoding.centre(i, self.size)):
            yield rendering.plain(squares, self.size, self.mean, self.std)

    def _squares(self, groups: Iterable[Tensor], cut: Cut) -> Iterator[tuple[Tensor, Tensor]]:
        """Each group and its squares, uint8 B x S x S x 3 on the device."""
        waiting: deque[tuple[Tensor, Tensor, list[Future[None]]]] = deque()
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            try:
                for index in groups:
                    waiting.append(self._begun(pool, index, cut))
                    ahead = sum(len(later) for later, *_ in list(waiting)[1:])
                    if len(waiting) > 2 and ahead >= IMAGES_AHEAD:
                        yield self._ended(*waiting.popleft())
                while waiting:
                    yield self._ended(*waiting.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _begun(
        self, pool: ThreadPoolExecutor, index: Tensor, cut: Cut
    ) -> tuple[Tensor, Tensor, list[Future[None]]]:
        # A GPU can copy pinned memory asynchronously.
        pinned = self.device.type == "cuda"
        shape = (len(index), self.size, self.size, 3)
        squares = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
        rows = enumerate(index.tolist())
        return index, squares, [pool.submit(self._fill, squares[i], row, cut) for i, row in rows]

    def _ended(
        self, index: Tensor, squares: Tensor, tasks: list[Future[None]]
    ) -> tuple[Tensor, Tensor]:
        for task in tasks:
            task.result()
        return index, squares.to(self.device, non_blocking=True)

    # Inference mode is set per thread, and evaluation creates its buffers in it.
    @torch.inference_mode()
    def _fill(self, square: Tensor, row: int, cut: Cut) -> None:
        """Decode an image into its place.

        Raises:
            StudyError: The prepared file was damaged after it was opened.
        """
        content = self.images.encoded(row)
        try:
            image = decoding.decode(content)
        except ValueError as error:
            raise self.images.damaged(row, str(error)) from error
        extent = (int(self.images.heights[row]), int(self.images.widths[row]))
        if (image.height, image.width) != extent:
            found = f"{image.height} x {image.width}"
            raise self.images.damaged(row, f"it is {found} and not {extent[0]} x {extent[1]}")
        square.copy_(cut(image, row))


def _uncropped(parameters: ViewParameters, size: int) -> ViewParameters:
    """The same views for squares that are already cropped to the views' size."""
    start = torch.zeros_like(parameters.top)
    whole = torch.full_like(parameters.top, size)
    return replace(parameters, top=start, left=start, height=whole, width=whole)
