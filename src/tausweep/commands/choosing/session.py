"""What a choice needs to go on after it was stopped: ``choose.json`` in its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tausweep.commands.choosing.plan import Speed, Stage
from tausweep.commands.choosing.study_text import Recipe
from tausweep.storage.atomic import write_json
from tausweep.study import StudyError

FILE = "choose.json"
VERSION = 1


@dataclass
class Session:
    """A choice under way.

    Attributes:
        folder: Its folder.
        images: Where the images are, as given.
        counts: Training and test images, and classes (0 without labels).
        notes: About the images.
        recipe: How runs are trained.
        speed: Of this machine.
        minutes: That were promised.
        used: Seconds of work so far.
        stages: So far.
    """

    folder: Path
    images: str
    counts: dict[str, int]
    notes: list[str]
    recipe: Recipe
    speed: Speed
    minutes: float
    used: float = 0.0
    stages: list[Stage] = field(default_factory=list)

    @property
    def labelled(self) -> bool:
        """Whether accuracies are measured."""
        return self.counts["classes"] > 0

    def save(self) -> None:
        """Write it."""
        content = {
            "version": VERSION,
            **{
                name: getattr(self, name)
                for name in ("images", "counts", "notes", "minutes", "used")
            },
            "recipe": {**vars(self.recipe), "folder": str(self.recipe.folder)},
            "speed": vars(self.speed),
            "stages": [vars(stage) for stage in self.stages],
        }
        write_json(self.folder / FILE, content)


def load(folder: Path) -> Session:
    """Read what ``save`` wrote.

    Raises:
        StudyError: There is none, or it is damaged.
    """
    path = folder / FILE
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        recipe = content["recipe"]
        return Session(
            folder,
            content["images"],
            content["counts"],
            content["notes"],
            Recipe(**{**recipe, "folder": Path(recipe["folder"])}),
            Speed(**content["speed"]),
            content["minutes"],
            content["used"],
            [Stage(**{**s, "temperatures": tuple(s["temperatures"])}) for s in content["stages"]],
        )
    except FileNotFoundError:
        raise StudyError(f"--continue: there is nothing to go on with in {folder}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{path}: is damaged ({error}); choose again in another --out") from None
