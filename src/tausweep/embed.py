"""Features and embeddings of prepared images: encoder in eval mode, no gradient, nothing changed.

Rows come in prepared order and do not depend on the batch they were computed in, beyond the last
bits of float32.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tausweep import views
from tausweep.encoders import Encoder
from tausweep.study import LinearSettings, ViewSettings
from tausweep.view_parameters import ViewParameters

BATCH = 500
Images = NDArray[np.uint8]
Channels = tuple[float, float, float]

PROBE_VIEWS = {
    # docs/protocol.md, row "views of the linear probe".
    "colour": ViewSettings(crop_scale=None, flip=False),
    "crop": ViewSettings(crop_scale=(0.08, 1.0), flip=True),
}


class Embedder:
    """An encoder and how its images are normalised.

    Attributes:
        encoder: Trunk and head; put in eval mode, its parameters and statistics are not touched.
        size: Side of the views in pixels.
        mean: Normalisation constants a channel, of images in [0, 1].
        std: The same.
    """

    def __init__(self, encoder: Encoder, size: int, mean: Channels, std: Channels) -> None:
        self.encoder = encoder.eval()
        self.device = next(encoder.parameters()).device
        self.size, self.mean, self.std = size, mean, std

    def features(self, images: Images, flipped: bool = False) -> Tensor:
        """Pooled features of the un-augmented images, n x D float32, on the CPU."""
        rendered = (
            views.flip(batch) if flipped else batch
            for batch in (
                views.plain(part, self.size, self.mean, self.std) for part in self._parts(images)
            )
        )
        return self._pooled(rendered, len(images))

    def view_features(self, images: Images, parameters: ViewParameters) -> Tensor:
        """Pooled features of one view an image, n x D float32, on the CPU."""
        starts = range(0, len(images), BATCH)
        rendered = (
            views.render(
                part,
                parameters.take(torch.arange(start, start + len(part))).to(self.device),
                self.size,
                self.mean,
                self.std,
            )
            for start, part in zip(starts, self._parts(images), strict=True)
        )
        return self._pooled(rendered, len(images))

    def embeddings(self, features: Tensor) -> Tensor:
        """Embeddings of pooled features, n x d float32, rows of length 1, on the CPU."""
        with torch.inference_mode():
            return torch.cat(
                [self.encoder.embed(f.to(self.device)).cpu() for f in features.split(BATCH)]
            )

    def probe_versions(
        self, images: Images, plain: Tensor, settings: LinearSettings, seed: int
    ) -> list[Tensor]:
        """Features of the versions of the training images that the probe alternates between.

        With ``flip`` the two versions are all that there are, with ``none`` there is one;
        ``colour`` and ``crop`` draw ``settings.versions`` random ones, where the author draws
        one an epoch.

        Args:
            images: N x H x W x 3 uint8.
            plain: Their un-augmented features, N x D.
            settings: Of the probe.
            seed: Of the run.
        """
        if settings.views == "none":
            return [plain]
        if settings.views == "flip":
            return [plain, self.features(images, flipped=True)]
        drawn = (
            self.draw(images, PROBE_VIEWS[settings.views], seed, version, "probe")
            for version in range(settings.versions)
        )
        return [self.view_features(images, parameters) for parameters in drawn]

    def draw(
        self, images: Images, settings: ViewSettings, seed: int, number: int, stream: str
    ) -> ViewParameters:
        """Parameters of one view an image, of a stream of random numbers of its own."""
        return views.draw(
            settings, images.shape[1], images.shape[2], len(images), seed, number, stream
        )

    def _parts(self, images: Images) -> Iterator[Tensor]:
        for start in range(0, len(images), BATCH):
            part = np.array(images[start : start + BATCH])
            yield torch.from_numpy(part).to(self.device)

    def _pooled(self, batches: Iterator[Tensor], count: int) -> Tensor:
        features = torch.empty(count, self.encoder.trunk.features)
        start = 0
        with torch.inference_mode():
            for batch in batches:
                pooled = self.encoder.trunk(batch)
                features[start : start + len(pooled)] = pooled.float().cpu()
                start += len(pooled)
        return features
