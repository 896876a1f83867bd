"""Measures of a run along its training, which show whether they still change at the end.

Pretraining saves encoder and bank after the epochs of the study's ``evaluate_at``. Each is measured
here with cheap measures that cost about as much as a third of an epoch of training: geometry of the
test split, kNN, local separation, and a short probe. Results are in ``along.json`` and, once
collected, in ``along.csv``. The last row is the trained run itself, with the numbers of its record.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from tausweep.measures import geometry, knn, linear
from tausweep.measures.evaluate import Evaluation, Values
from tausweep.measures.json_values import finite
from tausweep.storage.atomic import write_json
from tausweep.storage.layout import KEPT_BYTES, File, weights_after
from tausweep.storage.provenance import code_version
from tausweep.study import ALONG, LinearSettings, StudyError, digest

FILE = File.ALONG

SHORT_PROBE = 0.1
SHORT_PROBE_STEPS = 500
"""The short probe has a tenth of the probe's epochs (10 of 100), but at least this many steps. With
60 steps it ended up to 10 points below the full probe on the demo's digits, with 480 within 1.7 at
every epoch. It uses features without augmentation, which kNN needs too, so it costs no pass of
the trunk."""


@dataclass
class EvaluationAtEpoch(Evaluation):
    """A run as it was after an epoch; its embeddings are not saved.

    Attributes:
        epoch: Counted from 1.
    """

    epoch: int

    @property
    def weights(self) -> Path:
        """The file of encoder and bank."""
        return weights_after(self.folder, self.epoch)

    @cached_property
    def embeddings(self) -> dict[str, Tensor]:
        """The content that ``embeddings.safetensors`` would have."""
        return self.embedded()


def evaluate(trained: Evaluation, measured: Mapping[str, Values]) -> None:
    """Measure a run at every epoch that its study asks for, and write ``along.json``.

    Up-to-date results are kept. An epoch whose weights are missing, because training had already
    passed it when it was added, is reported and left out.

    Args:
        trained: The run at its end; nothing is done if its study asks for no epochs.
        measured: Its measures.
    """
    settings, folder = trained.settings, trained.folder
    if not settings.along:
        return
    before = _read(folder / FILE)
    rows: list[Values] = []
    lacking: list[Values] = []
    for epoch, share in settings.along.items():
        place: Values = {"share": share, "epoch": epoch}
        row = _row(trained, measured, epoch, before.get(epoch))
        if row is None:
            lacking.append(place)
        else:
            rows.append(place | row)
    write_json(folder / FILE, {"rows": rows, "not_kept": lacking})
    for row in rows:
        path = weights_after(folder, row["epoch"])
        if path.exists() and path.stat().st_size > KEPT_BYTES:
            path.unlink()


def _row(
    trained: Evaluation, measured: Mapping[str, Values], epoch: int, before: Values | None
) -> Values | None:
    """The measures of a run after an epoch, and what they were made from; none if unknown."""
    settings, say = trained.settings, trained.say
    epochs = settings.pretrain.epochs
    asked = settings.model_dump(mode="json", include={"linear", "knn", "geometry", "separation"})
    made_of = digest([trained.made_by, epoch, asked])
    code = code_version("along")
    known = before if before and before["made_of"] == made_of else None
    if known and known["code_version"] == code:
        return known
    say(f"along training: epoch {epoch} of {epochs}")
    try:
        values = at_the_end(trained, measured) if epoch == epochs else _measured(trained, epoch)
    except (StudyError, FloatingPointError) as error:
        if known:
            say(f"epoch {epoch} stays as it was measured by other code: {error}")
            return known
        retrained = trained.folder / File.PRETRAIN
        say(
            f"epoch {epoch} is left out: {error}; `snakemake --configfile STUDY --forcerun "
            f"{retrained}` trains the run again and measures it"
        )
        return None
    return {"made_of": made_of, "code_version": code, "values": finite(values)}


def _measured(trained: Evaluation, epoch: int) -> Values:
    """``measure`` of the weights saved after an epoch.

    Raises:
        StudyError: They are missing, damaged, or of another training.
        FloatingPointError: A feature is not finite.
    """
    then = EvaluationAtEpoch(
        trained.settings, trained.folder, trained.data, trained.device, trained.say, epoch
    )
    if not then.weights.exists():
        raise StudyError(f"its weights were not kept: {then.weights} is not there")
    return measure(then)


def _read(path: Path) -> dict[int, Values]:
    """The rows of an ``along.json`` by epoch; empty if it is missing or damaged."""
    kept = ("made_of", "code_version", "values")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return {int(row["epoch"]): {name: row[name] for name in kept} for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def measure(then: Evaluation) -> Values:
    """The columns ``ALONG`` for a run as it was after an epoch.

    Raises:
        FloatingPointError: A feature is not finite.
    """
    labels = then.embeddings["test_labels"]
    found = geometry.measure(then.placed["test"], labels, then.settings.geometry.t)
    if then.is_labelled:
        found |= {"knn_accuracy": knn.percentage(then.knn_correct("train"))}
        found |= {"linear_accuracy_short": short_probe(then)}
    found |= then.separation()
    return {name: found.get(name) for name in ALONG}


def at_the_end(trained: Evaluation, measured: Mapping[str, Values]) -> Values:
    """The same for a run at its end, from its measures and the short probe."""
    found = measured["geometry"]["test"] | measured["separation"]
    if trained.is_labelled:
        found |= {"knn_accuracy": measured["knn"]["accuracy"]}
        found |= {"linear_accuracy_short": short_probe(trained)}
    return {name: found.get(name) for name in ALONG}


def short_probe(then: Evaluation) -> float | None:
    """Last-epoch accuracy of the short probe in percent; none if it diverged."""
    (train, test), truth = then.features, then.embeddings["test_labels"]
    train = then.with_labels(train)
    labels = then.with_labels(then.embeddings["train_labels"])
    settings, seed = short(then.settings.linear, len(train)), then.settings.seed
    return linear.probe(train[None], labels, test, truth, settings, seed).accuracy


def short(settings: LinearSettings, count: int) -> LinearSettings:
    """Settings of the short probe: fewer epochs, with lr falling at the same shares of them.

    Args:
        settings: Settings of the full probe.
        count: Number of training images.
    """
    steps = math.ceil(count / settings.batch_size)
    epochs = max(round(SHORT_PROBE * settings.epochs), math.ceil(SHORT_PROBE_STEPS / steps))
    return settings.model_copy(update={"epochs": min(settings.epochs, epochs)})
