"""Where images come from and how they are prepared."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tausweep.study.fields import Integer, Seed, Settings


class Source(Settings):
    """Where images come from.

    Attributes:
        kind: ``digits``, ``translated_digits``, ``folder``, ``cifar10``, ``cifar100``, ``svhn``,
            ``imagenet100`` or ``plugin``.
        path: Folder of the images or of the original archives; ``data/<kind>`` if not given.
        download: Fetch the original archives where the source allows it.
        extra: SVHN only: add the 531,131 images of its ``extra`` split to the training split.
        module: ``plugin`` only: a Python file with ``read(source, split)``.
        options: ``plugin`` only: passed through to it.
    """

    kind: Literal[
        "digits",
        "translated_digits",
        "folder",
        "cifar10",
        "cifar100",
        "svhn",
        "imagenet100",
        "plugin",
    ]
    path: str | None = None
    download: bool = False
    extra: bool = False
    module: str | None = None
    options: dict[str, Any] | None = None

    @field_validator("path")
    @classmethod
    def _canonical(cls, value: str | None) -> str | None:
        # However it is spelt: ./data/odd/ is the folder data/odd, and the runs are the same.
        return os.path.normpath(value) if value else value

    @model_validator(mode="after")
    def _complete(self) -> Source:
        if self.kind == "folder" and self.path is None:
            raise ValueError("a source of kind folder needs a path")
        if (self.kind == "plugin") != (self.module is not None):
            raise ValueError("a module belongs to a source of kind plugin, and only to it")
        return self


class DatasetSettings(Settings):
    """A source and how it is prepared (see ``tausweep.data``).

    Attributes:
        image_size: Side of the views in pixels.
        form: ``squares``: images are prepared as squares of ``image_size`` (shorter side resized,
            antialiased bilinear; centre cropped), which views are cropped from and evaluation
            takes whole. ``originals``: they keep their size; views are cropped from them, and
            evaluation takes 224 of 256 pixels, or whatever these are for ``image_size``.
        train_limit: Size of a class-balanced subset of the training split; none takes all.
        test_limit: The same of the test split.
        subset_seed: Seed of both subsets. In a study file also ``run``: each run's own seed
            chooses its training images, so that seeds differ by their images too; the test
            subset stays that of seed 0, the same for all.
        test_subset_seed: Seed of the test subset where it is not ``subset_seed``.
        validation: The test split is ``test_limit`` images that the training subset leaves in the
            training split, so that settings can be chosen without a look at the test images.
    """

    source: Source
    image_size: Annotated[Integer, Field(ge=1, le=1024)] = 32
    form: Literal["squares", "originals"] = "squares"
    train_limit: Annotated[Integer, Field(ge=2)] | None = None
    test_limit: Annotated[Integer, Field(ge=2)] | None = None
    subset_seed: Seed = 0
    test_subset_seed: Seed | None = None
    validation: bool = False

    @model_validator(mode="after")
    def _held_out(self) -> DatasetSettings:
        if self.validation and (self.train_limit is None or self.test_limit is None):
            raise ValueError(
                "validation needs train_limit and test_limit: both come from the training split"
            )
        if self.validation and self.test_subset_seed is not None:
            raise ValueError(
                "validation: seeds with their own training images leave no images that all could "
                "be measured on; set subset_seed to a number"
            )
        return self

    def identity_json(self) -> dict[str, Any]:
        """What decides the images of a run, JSON-ready.

        Where the original archives of a published dataset lie, and whether they may be
        downloaded, does not: their content is verified.
        """
        content = self.model_dump(mode="json", exclude_none=True)
        content["source"].pop("download")
        if self.source.kind not in ("folder", "plugin"):
            content["source"].pop("path", None)
        # The form that was the only one once: settings of that time keep their digests.
        if self.form == "squares":
            content.pop("form")
        if not self.validation:
            content.pop("validation")
        return content

    def preparation_json(self) -> dict[str, Any]:
        """What decides the prepared data, JSON-ready: originals serve views of every size."""
        content = self.identity_json()
        if self.form == "originals":
            content.pop("image_size")
        return content
