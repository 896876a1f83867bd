"""The position of a pretraining run, and the history of its epochs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

HISTORY = ("epoch", "lr", "loss", "positive_similarity", "seconds", "images_per_second")


@dataclass
class Position:
    """The position of a run; ``vars`` of it are ready for JSON.

    Attributes:
        epoch: Completed epochs.
        step: Completed steps of the current epoch.
        steps: Completed steps in total.
        loss: Sum of the loss over the current epoch's anchors so far, as last read.
        positive_similarity: The same sum for the similarity of anchor and positive.
        seconds: Time spent on the current epoch so far.
        history: One row per epoch, keyed by ``HISTORY`` and by the columns that the loss reports.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    loss: float = 0.0
    positive_similarity: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def end_epoch(self, lr: float, count: int, said: Mapping[str, float] | None = None) -> None:
        """Append the current epoch, with sums over ``count`` images, to the history.

        Args:
            lr: Its learning rate.
            count: Training images.
            said: The columns that the loss reports.
        """
        self.history.append(
            {
                "epoch": self.epoch + 1,
                "lr": lr,
                "loss": self.loss / count,
                "positive_similarity": self.positive_similarity / count,
                "seconds": self.seconds,
                "images_per_second": count / self.seconds,
                **(said or {}),
            }
        )
        self.epoch += 1
        self.step, self.loss, self.positive_similarity, self.seconds = 0, 0.0, 0.0, 0.0

    def progress(self, epochs: int) -> str:
        """One line about the last epoch of ``epochs``: loss, throughput, time left."""
        last = self.history[-1]
        left = (epochs - self.epoch) * last["seconds"]
        return (
            f"epoch {self.epoch}/{epochs}  loss {last['loss']:.4f}  "
            f"{last['images_per_second']:,.0f} images/s  {_duration(left)} left"
        )


def history_csv(history: list[dict[str, float]]) -> str:
    """The history as CSV; numbers in the shortest form that reads back exactly."""
    text = io.StringIO()
    columns = dict.fromkeys((*HISTORY, *(name for row in history for name in row)))
    writer = csv.DictWriter(text, [*columns], lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {
            **row,
            "epoch": int(row["epoch"]),
            "seconds": f"{row['seconds']:.3f}",
            "images_per_second": f"{row['images_per_second']:.1f}",
        }
        for row in history
    )
    return text.getvalue()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
