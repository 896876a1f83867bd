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
        path: Folder of the images or of the original archives; ``data/<kind>`` by default.
        download: Download the original archives, if the source allows it.
        extra: SVHN only: add the 531,131 images of its ``extra`` split to the training split.
        module: ``plugin`` only: a Python file with ``read(source, split)``.
        options: ``plugin`` only: passed through to it.
        table: ``folder`` only: a CSV with the columns path, label and split, of the images to use.
            Paths are relative to ``path``. Labels may be missing, and so may the split.
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
    table: str | None = None

    @field_validator("path", "table")
    @classmethod
    def _canonical(cls, value: str | None) -> str | None:
        # ./data/odd/ and data/odd are the same folder, so they must give the same runs.
        return os.path.normpath(value) if value else value

    @model_validator(mode="after")
    def _complete(self) -> Source:
        if self.kind == "folder" and self.path is None:
            raise ValueError("a source of kind folder needs a path")
        if (self.kind == "plugin") != (self.module is not None):
            raise ValueError("a source of kind plugin needs a module, and no other kind has one")
        if self.table is not None and self.kind != "folder":
            raise ValueError("only a source of kind folder has a table")
        return self


class DatasetSettings(Settings):
    """A source and how it is prepared (see ``tausweep.data``).

    Attributes:
        image_size: Side of the views in pixels.
        form: ``squares``: images are prepared as squares of ``image_size`` (shorter side resized,
            antialiased bilinear; centre cropped). Views are cropped from these, and evaluation
            uses them whole. ``originals``: images keep their size. Views are cropped from them,
            and evaluation uses 224 of 256 pixels, or the same share for another ``image_size``.
        train_limit: Size of a class-balanced subset of the training split; all images by default.
        test_limit: The same for the test split.
        subset_seed: Seed of both subsets. A study file may also say ``run``: then each run's own
            seed chooses its training images, so seeds differ in their images too. The test subset
            is always that of seed 0, the same for all runs.
        test_subset_seed: Seed of the test subset, if it is not ``subset_seed``.
        validation: Use as test split ``test_limit`` images that the training subset leaves over in
            the training split, so that settings can be chosen without looking at the test images.
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
                "validation: with subset_seed: run, no images are left that all seeds could be "
                "measured on; set subset_seed to a number"
            )
        return self

    def identity_json(self) -> dict[str, Any]:
        """The settings that decide the images of a run, ready for JSON.

        The path of a published dataset's archives, and whether they may be downloaded, do not
        count, because the content of the archives is verified.
        """
        content = self.model_dump(mode="json", exclude_none=True)
        content["source"].pop("download")
        if self.source.kind not in ("folder", "plugin"):
            content["source"].pop("path", None)
        # It was once the only form; older settings must keep their digests.
        if self.form == "squares":
            content.pop("form")
        if not self.validation:
            content.pop("validation")
        return content

    def preparation_json(self) -> dict[str, Any]:
        """The settings that decide the prepared data; originals serve views of every size."""
        content = self.identity_json()
        if self.form == "originals":
            content.pop("image_size")
        return content
