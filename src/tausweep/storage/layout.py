"""Paths in ``results/``, for Snakemake and for all commands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tausweep.study import DatasetSettings, Run, digest

KEPT_BYTES = 16e6
"""Weights along the training of at most this size are kept after they are measured, in case a
setting of a measure changes. Larger ones (70 MB for a CIFAR run of the paper) are deleted."""


class Folder(StrEnum):
    """Names of the folders below ``results/``."""

    DATA = "data"  # prepared data, of all studies
    LOGS = "logs"  # logs of a study; beside the studies, logs of what they share
    STORE = "store"  # runs of all studies, by the digests of their settings

    # The store.
    TRAINED = "trained"
    EVALUATED = "evaluated"

    # A study.
    RUNS = "runs"
    TABLES = "tables"
    FIGURES = "figures"
    PARTIAL = "partial"


class File(StrEnum):
    """Names of files in ``results/``; each is a string, as in ``folder / File.RECORD``."""

    # Prepared data, beside the files of its splits (``SplitFile``).
    MANIFEST = "manifest.json"
    DATA_LOCK = ".lock"
    DATA_RESERVED = ".reserved"
    SOURCE_CONTENTS = ".source.json"  # hidden, because it decides no number and enters no digest

    # A run: outputs of pretraining, and its checkpoints until it ends.
    SETTINGS = "settings.json"
    HISTORY = "history.csv"
    ENCODER = "encoder.safetensors"
    PRETRAIN = "pretrain.json"
    CHECKPOINT = "checkpoint.safetensors"
    CHECKPOINT_BEFORE = "checkpoint.previous.safetensors"
    CHECKPOINT_NEW = "checkpoint.new.safetensors"
    RUN_LOCK = "lock.json"
    RETRAIN = ".retrain"  # the run was named with --forcerun: its training is not to be taken
    REMEASURE = ".remeasure"  # the same of its evaluation

    # A run: outputs of its evaluation; ``measure_file`` gives the file of any measure.
    EMBEDDINGS = "embeddings.safetensors"
    CORRECT = "correct.safetensors"
    LINEAR = "linear.json"
    KNN = "knn.json"
    GEOMETRY = "geometry.json"
    SEPARATION = "separation.json"
    PENALTY = "penalty.json"
    ALONG = "along.json"
    RECORD = "record.json"
    AHEAD = "record.json.ahead"

    # In the store: what an entry has, written when it is whole.
    STORED = "stored.json"

    # A study.
    STUDY = "study.json"
    RECORDS = "records.csv"
    RECORDS_PARQUET = "records.parquet"  # in an export
    ALONG_TABLE = "along.csv"
    CLASSES = "classes.json"
    CLASSES_TABLE = "classes.csv"
    CLAIMS_JSON = "claims.json"
    CLAIMS_CSV = "claims.csv"
    CLAIMS_MARKDOWN = "claims.md"
    REPORT = "report.html"


class SplitFile(StrEnum):
    """Endings of the names of a split's files in prepared data."""

    SQUARES = "images.npy"
    ENCODED = "images.bin"
    SIZES = "sizes.npy"
    LABELS = "labels.npy"

    def of(self, split: str) -> str:
        """The whole name, such as ``train_images.npy``."""
        return f"{split}_{self}"


@dataclass(frozen=True)
class Layout:
    """Paths of results.

    Attributes:
        root: The results folder.
    """

    root: Path = Path("results")

    def study(self, study: str) -> Path:
        """Folder of a study."""
        return self.root / study

    def run(self, run: Run) -> Path:
        """Folder of a run."""
        return self.study(run.study) / Folder.RUNS / run.id

    @property
    def store(self) -> Path:
        """Folder of the runs of all studies."""
        return self.root / Folder.STORE

    def trained(self, run: Run) -> Path:
        """Folder in the store in which a run is trained."""
        name = trained_name(run.settings.pretrain_digest, run.settings.kept_epochs)
        return self.store / Folder.TRAINED / name

    def evaluated(self, run: Run) -> Path:
        """Folder in the store of a finished run."""
        return self.store / Folder.EVALUATED / run.settings.digest

    def logs(self, run: Run) -> Path:
        """Folder of a run's logs."""
        return self.study(run.study) / Folder.LOGS / run.id

    def log(self, run: Run, stage: str) -> Path:
        """Log of a stage of a run, ``pretrain`` or ``evaluate``."""
        return self.logs(run) / f"{stage}.log"

    def prepared(self, settings: DatasetSettings) -> Path:
        """Folder of prepared data, shared by all runs with the same source and preparation."""
        return self.root / Folder.DATA / prepared_name(settings)


def measure_file(measure: str) -> str:
    """Name of a measure's file in a run's folder; also for plug-ins."""
    return f"{measure}.json"


def trained_name(pretrain_digest: str, kept_epochs: Iterable[int]) -> str:
    """``<digest>``, or ``<digest>-<epoch>-...`` if weights along the training were kept.

    Whether they were is no matter of the encoder, but a run without them cannot be measured there.
    """
    return "-".join([pretrain_digest, *map(str, sorted(kept_epochs))])


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder."""
    return sorted(folder.glob("checkpoint.*safetensors"))


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints, even half-written ones, of a run that has its record."""
    for path in folder.glob("*checkpoint.*safetensors*"):
        path.unlink()


def weights_after(folder: Path, epoch: int) -> Path:
    """Encoder and bank after an epoch, in a run's folder (see ``tausweep.measures.along``)."""
    return folder / f"encoder-epoch{epoch}.safetensors"


def kept_weights(folder: Path) -> dict[int, Path]:
    """The existing files of ``weights_after``, by epoch."""
    found = {}
    for path in folder.glob("encoder-epoch*.safetensors"):
        number = path.name.removeprefix("encoder-epoch").removesuffix(".safetensors")
        if number.isdecimal():
            found[int(number)] = path
    return dict(sorted(found.items()))


def prepared_name(settings: DatasetSettings) -> str:
    """``<kind>-<digest of source and preparation>``."""
    return f"{settings.source.kind}-{digest(settings.preparation_json())}"
