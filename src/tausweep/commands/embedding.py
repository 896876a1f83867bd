"""Run images through an encoder: all images of a folder once, and two views of some of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tausweep.claims.phrases import count_of
from tausweep.commands.embedded import Embedded, codes, matrix
from tausweep.commands.image_tree import ImageTree
from tausweep.commands.loaded_encoder import LoadedEncoder
from tausweep.data import pictures
from tausweep.model.encoder import set_tf32
from tausweep.study import StudyError
from tausweep.views import rendering

ALIGNED = 1000
"""Number of images of which alignment compares two views; more hardly narrow its interval."""
PIXELS_AT_ONCE = 2**21
"""Pixels per batch: 41 images of 224 x 224."""
SAY_SECONDS = 15.0
"""Seconds between two lines of progress."""


def embed(
    tree: ImageTree,
    encoder: LoadedEncoder,
    name: str,
    device: torch.device,
    threads: int,
    say: Callable[[str], None],
) -> Embedded:
    """Embed the images of a tree, and two views of ``ALIGNED`` of those that are measured.

    Args:
        tree: The images; see ``image_tree.read``.
        encoder: The encoder, which is moved to the device.
        name: What the embeddings are called.
        device: Where the encoder runs.
        threads: Number of threads that decode images.
        say: Receives progress messages.

    Raises:
        StudyError: More than a few images cannot be read (``pictures.left_out``), or the encoder
            fails or does not return B x d.
    """
    set_tf32(False)
    encoder.module.to(device).to(memory_format=torch.channels_last)
    work = _Embedding(encoder, device, threads, lambda line: say(f"{name}: {line}"))
    say(f"{name}: {count_of(len(tree.paths), 'image')} at {encoder.size} pixels")
    x = matrix(work.plain(tree.paths), name)
    train = None
    if tree.train_paths:
        say(f"{name}: {count_of(len(tree.train_paths), 'image')} of the training split")
        train = matrix(work.plain(tree.train_paths), f"{name}, training split")
    what = encoder.what
    if work.damaged:
        listed = [*tree.paths, *tree.train_paths]
        # Threads find them in any order.
        why = [work.damaged[path] for path in listed if path in work.damaged]
        note = pictures.left_out(why, len(listed))
        say(f"{name}: {note}")
        what = f"{what}; {note}"
        tree = tree.without(work.damaged)
    order = rendering.order(len(tree.paths), 0, 0)[:ALIGNED].sort().values.tolist()
    chosen = [tree.paths[row] for row in order]
    say(f"{name}: two views of {count_of(len(chosen), 'image')}")
    views = tuple(matrix(part, f"{name}, views") for part in work.two_views(chosen))
    described = f"two views of {count_of(len(chosen), 'image')}, {_words(encoder)}"
    if tree.labels is None:
        return Embedded(name, x, None, None, None, (views[0], views[1]), what, described)
    every = codes([*tree.labels, *tree.train_labels], len(x) + len(tree.train_labels), name, name)
    own, theirs = torch.from_numpy(every).split([len(x), len(tree.train_labels)])
    return Embedded(
        name, x, own, train, theirs if train is not None else None, (views[0], views[1]),
        what, described,
    )  # fmt: skip


def _words(encoder: LoadedEncoder) -> str:
    v = encoder.views
    jitter = f"jitter {v.brightness:g}/{v.contrast:g}/{v.saturation:g}/{v.hue:g}"
    crop = "no crop" if v.crop_scale is None else f"crop {v.crop_scale[0]:g} to {v.crop_scale[1]:g}"
    return f"{crop}, {jitter}, grayscale {v.grayscale:g}{', flip' if v.flip else ''}"


class _Embedding:
    """Embeds image files with an encoder, one batch at a time."""

    def __init__(
        self,
        encoder: LoadedEncoder,
        device: torch.device,
        threads: int,
        say: Callable[[str], None],
    ) -> None:
        self.encoder, self.device, self.threads, self.say = encoder, device, threads, say
        self.outer = round(encoder.size / encoder.crop)
        self.at_once = max(1, PIXELS_AT_ONCE // self.outer**2)
        self.damaged: dict[Path, str] = {}
        """Images that could not be read, and why; they have no row."""

    def plain(self, paths: Sequence[Path]) -> Tensor:
        """Embeddings of the un-augmented images that can be read, n x d float32."""
        e = self.encoder
        edge = (self.outer - e.size) // 2
        inner = slice(edge, edge + e.size)
        parts = [
            self._run(rendering.plain(squares[:, inner, inner], e.size, e.mean, e.std))
            for squares in self._squares(paths)
        ]
        if not parts:
            raise StudyError(f"no image can be read; the first: {self.damaged[paths[0]]}")
        return torch.cat(parts)

    def two_views(self, paths: Sequence[Path]) -> list[Tensor]:
        """Embeddings of two views of the images, each n x d float32."""
        e = self.encoder
        drawn = [
            rendering.draw(e.views, self.outer, self.outer, len(paths), 0, view, "measure")
            for view in (0, 1)
        ]
        found: list[list[Tensor]] = [[], []]
        start = 0
        for squares in self._squares(paths):
            rows = slice(start, start + len(squares))
            for parts, parameters in zip(found, drawn, strict=True):
                own = parameters.take(rows).to(self.device)
                parts.append(self._run(rendering.render(squares, own, e.size, e.mean, e.std)))
            start += len(squares)
        return [torch.cat(parts) for parts in found]

    def _squares(self, paths: Sequence[Path]) -> Iterator[Tensor]:
        """Squares of side O = ``outer``: uint8 B x O x O x 3, on the device.

        Images that cannot be read are left out, and are in ``damaged``.
        """

        def decode(path: Path) -> Tensor | None:
            try:
                square = pictures.square(pictures.read(path), self.outer)
            except StudyError as error:
                self.damaged[path] = str(error)
                return None
            return torch.from_numpy(np.array(square))

        said = time.monotonic()
        with ThreadPoolExecutor(self.threads) as pool:
            for start in range(0, len(paths), self.at_once):
                if time.monotonic() - said > SAY_SECONDS:
                    said = time.monotonic()
                    self.say(f"{start:,} of {len(paths):,} images")
                part = paths[start : start + self.at_once]
                squares = [square for square in pool.map(decode, part) if square is not None]
                if squares:
                    yield torch.stack(squares).to(self.device)

    def _run(self, views: Tensor) -> Tensor:
        with torch.inference_mode():
            try:
                found = self.encoder.module(views)
            except (RuntimeError, ValueError, TypeError) as error:
                said = str(error).splitlines()[0]
                raise StudyError(
                    f"the encoder fails on {' x '.join(map(str, views.shape))} images: {said}"
                ) from error
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(views):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise StudyError(
                f"the encoder gives {shape} for {len(views)} images; B x d is needed, one "
                "embedding an image"
            )
        return found.float().cpu()
