"""The study file of a stage: an ordinary one, with comments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tausweep.commands.choosing.plan import SEEDS, Stage

TABLE = "images.csv"
DATASET = "images"


@dataclass(frozen=True)
class Recipe:
    """What all stages have in common.

    Attributes:
        folder: Where the images lie.
        image_size: Side of the images in pixels.
        trunk: Of the encoder.
        width: Of the encoder.
        batch_size: Images of a step.
        lr: Learning rate.
        k: Neighbours of kNN.
        precision: Of the training.
    """

    folder: Path
    image_size: int
    trunk: str
    width: int
    batch_size: int
    lr: float
    k: int
    precision: str = "float32"


def text(recipe: Recipe, stage: Stage, said: Sequence[str] = ()) -> str:
    """A study file that the harness runs in the folder where the table of images lies.

    Args:
        recipe: Of all stages.
        stage: Of which one.
        said: What came out, as lines of a comment.
    """
    taus = ", ".join(f"{tau:g}" for tau in stage.temperatures)
    seeds = ", ".join(map(str, SEEDS))
    head = [f"# {line}".rstrip() for line in said]
    return "\n".join(
        [
            *head,
            "# `tausweep plan FILE` says what it costs, `tausweep run FILE` runs it and writes a "
            "report. Start them in",
            f"# the folder of this file: {TABLE} and results/ are here, and finished runs are not "
            "trained again.",
            "# Every setting that is not here is the paper's (Wang & Liu, CVPR 2021).",
            f"study: {stage.study}",
            "",
            "# Each number is the mean over these.",
            f"seeds: [{seeds}]",
            "",
            "datasets:",
            f"  {DATASET}:",
            "    # The table has path, label and split of each image in the folder.",
            f"    source: {{kind: folder, path: {json.dumps(str(recipe.folder))}, table: {TABLE}}}",
            "    # Images are reduced to squares of so many pixels.",
            f"    image_size: {recipe.image_size}",
            "",
            "losses:",
            "  # One run for each temperature and seed.",
            f"  contrastive: {{temperature: [{taus}]}}",
            "",
            "# A final encoder wants the best temperature, a larger trunk (resnet18, width 64) "
            "and more epochs.",
            f"encoder: {{trunk: {recipe.trunk}, width: {recipe.width}}}",
            f"pretrain: {{epochs: {stage.epochs}, batch_size: {recipe.batch_size}, "
            f"lr: {recipe.lr:g}, precision: {recipe.precision}}}",
            "",
            "# The probe's lr of 30 is for the features of the paper's encoders; these are small.",
            "linear: {lr: 0.3}",
            f"knn: {{k: {recipe.k}}}",
            "separation: {anchors: 512}",
            "",
            "# Raw pixels and an untrained encoder: a temperature that does not beat them learnt "
            "nothing.",
            f"baselines: {'true' if stage.baselines else 'false'}",
            "",
            "# Half-way and at the end, to see whether the order of temperatures still moves.",
            f"evaluate_at: [{stage.half:g}, 1.0]",
            "",
        ]
    )
