"""Features and embeddings of prepared images, by the encoder in eval mode without gradients.

Rows are in prepared order. They depend on the batch in which they were computed only in the last
bits of float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from tausweep.data.sources import Channels
from tausweep.model.encoder import Encoder
from tausweep.study import LinearSettings, ViewSettings
from tausweep.views import rendering
from tausweep.views.batches import KeptImages, Pixels, pixels
from tausweep.views.parameters import ViewParameters

CPU = torch.device("cpu")
BATCH = 500
PIXELS_AT_ONCE = 2**22
"""Most pixels per batch: 83 images of 224 x 224, whose first maps take 1 GB in ResNet-50."""

PROBE_VIEWS = {
    # docs/protocol.md, row "views of the linear probe".
    "colour": ViewSettings(crop_scale=None, flip=False),
    "crop": ViewSettings(crop_scale=(0.08, 1.0), flip=True),
}


class Embedder:
    """An encoder and the normalisation of its images.

    Attributes:
        encoder: Trunk and head, in eval mode; its parameters and statistics are not changed.
        size: Side of the views in pixels.
        mean: Mean of each channel, for images in [0, 1].
        std: Standard deviation of each channel.
        device: The device of the encoder, where views are rendered.
        kept_on: The device where features are kept, at first ``device``.
    """

    def __init__(
        self,
        encoder: Encoder,
        size: int,
        mean: Channels,
        std: Channels,
        device: torch.device = CPU,
    ) -> None:
        self.encoder = encoder.eval()
        self.device = device
        self.kept_on = self.device
        self.size, self.mean, self.std = size, mean, std

    def features(self, images: KeptImages, flipped: bool = False) -> Tensor:
        """Pooled features of the images without augmentation, n x D float32."""
        found = self._pixels(images)
        # The index is on the images' device, so that batches do not wait for copies.
        index = torch.arange(len(found)).to(images.device if isinstance(images, Tensor) else "cpu")
        batches = found.plain(self._groups(index))
        return self._pooled(map(rendering.flip, batches) if flipped else batches, len(found))

    def view_features(
        self, images: KeptImages, parameters: ViewParameters, index: Tensor | None = None
    ) -> Tensor:
        """Pooled features of one view of each image, n x D float32.

        Args:
            images: The N images of a split.
            parameters: N rows.
            index: int64 n, the images to use; by default all.
        """
        index = torch.arange(len(images)) if index is None else index
        found = self._pixels(images)
        index, parameters = found.placed(*found.staged(index, parameters))
        return self._pooled(found.views(self._groups(index), parameters), len(index))

    def embeddings(self, features: Tensor) -> Tensor:
        """Embeddings of pooled features, n x d float32, rows of length 1, on the device."""
        parts = features.split(BATCH)
        with torch.inference_mode():
            return torch.cat([self.encoder.embed(part.to(self.device)) for part in parts])

    def probe_versions(
        self, images: KeptImages, plain: Tensor, settings: LinearSettings, seed: int
    ) -> Tensor:
        """Features of the versions of the training images that the probe alternates between.

        ``flip`` has two versions and ``none`` has one. ``colour`` and ``crop`` draw
        ``settings.versions`` random ones; the author draws one per epoch.

        Args:
            images: The N images of the training split.
            plain: Their features without augmentation, N x D.
            settings: The probe's settings.
            seed: The run's seed.

        Returns:
            F x N x D float32, on the device of ``plain``.
        """
        if settings.views == "none":
            return plain[None]
        if settings.views == "flip":
            return torch.stack([plain, self.features(images, flipped=True)])
        # Filled one by one, because those of ImageNet100 take 8 GB and must not exist twice.
        found = plain.new_empty(settings.versions, *plain.shape)
        for version, features in enumerate(found):
            drawn = self.draw(images, PROBE_VIEWS[settings.views], seed, version, "probe")
            features.copy_(self.view_features(images, drawn))
        return found

    def draw(
        self, images: KeptImages, settings: ViewSettings, seed: int, number: int, stream: str
    ) -> ViewParameters:
        """Parameters of one view per image, from a separate stream of random numbers."""
        return self._pixels(images).draw(settings, seed, number, stream)

    def _pixels(self, images: KeptImages) -> Pixels:
        return pixels(images, self.size, self.mean, self.std, self.device)

    def _groups(self, index: Tensor) -> Iterable[Tensor]:
        groups: tuple[Tensor, ...] = index.split(max(1, min(BATCH, PIXELS_AT_ONCE // self.size**2)))
        return groups

    def _pooled(self, batches: Iterator[Tensor], count: int) -> Tensor:
        features = torch.empty(count, self.encoder.trunk.features, device=self.kept_on)
        start = 0
        with torch.inference_mode():
            for batch in batches:
                pooled = self.encoder.trunk(batch)
                features[start : start + len(pooled)] = pooled
                start += len(pooled)
        return features
