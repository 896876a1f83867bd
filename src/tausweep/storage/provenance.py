"""Provenance of a result: code, packages, hardware, command, time."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import tausweep
from tausweep.study.syntax import syntax_digest

_VIEWS = (
    "views.batches",
    "views.colour",
    "views.crop",
    "views.parameters",
    "views.rendering",
)
_LOSSES = (
    "losses.bank_softmax",
    "losses.family",
    "losses.selection",
    "losses.streaming",
    "machine.kernel_choice",
)
_GEOMETRY = ("measures.geometry", "measures.collapse", "measures.sphere_dimension")
_EVALUATION = (
    "measures.evaluate",
    "data.decoding",
    "machine.peers",
    "machine.precision",
    "machine.repeatable",
    "machine.staging",
    "measures.embed",
    "measures.json_values",
    "measures.knn",
    "measures.linear",
    "measures.logistic",
    "measures.own_measure",
    "measures.penalty",
    "measures.separation",
    "measures.trained_weights",
    "model.encoder",
    "training.step_graph",
    *_GEOMETRY,
    *_LOSSES,
    *_VIEWS,
)

NUMBERS: dict[str, tuple[str, ...]] = {
    "pretrain": (
        "training.pretrain",
        "data.decoding",
        "losses.batch",
        "losses.cosine_tau",
        "losses.decoupled",
        "losses.dual_temperature",
        "losses.elsewhere",
        "losses.hcl",
        "losses.isogclr",
        "losses.known_gradient",
        "losses.learnable_tau",
        "losses.macl",
        "losses.nt_xent",
        "losses.own_loss",
        "losses.related",
        "losses.run_loss",
        "losses.simple_var",
        "losses.supcon",
        "losses.trial",
        "machine.batch_sharing",
        "machine.peers",
        "machine.precision",
        "machine.repeatable",
        "model.bank",
        "model.encoder",
        "model.key_queue",
        "model.momentum_encoder",
        "training.batches",
        "training.objective",
        "training.position",
        "training.recorded_step",
        "training.step_graph",
        "training.trainer",
        *_LOSSES,
        *_VIEWS,
    ),
    "evaluate": _EVALUATION,
    "along": ("measures.along", *_EVALUATION),
    "embed": (
        "measures.embed",
        "data.decoding",
        "machine.peers",
        "machine.precision",
        "model.encoder",
        *_VIEWS,
    ),
    "linear": (
        "measures.linear",
        "losses.streaming",
        "machine.precision",
        "machine.staging",
        "measures.logistic",
        "training.step_graph",
    ),
    "knn": (
        "measures.knn",
        "losses.selection",
        "losses.streaming",
        "machine.precision",
        *_GEOMETRY,
    ),
    "geometry": (*_GEOMETRY, "losses.streaming", "machine.precision"),
    "separation": ("measures.separation", "machine.precision", *_LOSSES),
    "classes": (
        "measures.same_class",
        "measures.separation",
        "machine.precision",
        *_GEOMETRY,
        *_LOSSES,
    ),
    "penalty": ("measures.penalty", "measures.separation", "machine.precision", *_LOSSES),
}
"""The modules that make the numbers of a stage or measure: its own first, then those that it uses.

The lists are explicit, so that moving a module does not change the code version of records. A test
compares them with the import graph and says why some imports are not listed.
"""

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow", "safetensors",
            "snakemake", "tausweep")  # fmt: skip


@cache
def code_version(stage: str, alone: bool = False) -> str:
    """Digest of the code that makes the numbers of a stage or measure (``NUMBERS``).

    It covers syntax trees, so comments, docstrings, formatting, imports and the paths of modules do
    not count.

    Args:
        stage: A stage or measure, such as ``pretrain``, ``evaluate`` or ``knn``.
        alone: Whether only its own module counts.

    Returns:
        Twelve hexadecimal digits.
    """
    modules = NUMBERS[stage][:1] if alone else NUMBERS[stage]
    digests = sorted(_module_digest(module) for module in modules)
    return hashlib.sha256(repr(digests).encode()).hexdigest()[:12]


@cache
def _module_digest(module: str) -> str:
    path = Path(tausweep.__file__).parent.joinpath(*module.split(".")).with_suffix(".py")
    return syntax_digest(path.read_text(encoding="utf-8"), imports=False)


def now() -> str:
    """The time in UTC to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def describe(started: str, hardware: dict[str, Any]) -> dict[str, Any]:
    """Provenance of a job that ends now, ready for JSON."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": _commit(),
        "ended": now(),
        "hardware": hardware,
        "packages": {name: _version(name) for name in PACKAGES},
        "python": sys.version.split()[0],
        "started": started,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def _commit() -> str | None:
    """The commit of the checkout that the code runs from, with ``+`` if the code differs from it.

    Code that was copied to a machine without its checkout has its commit in ``TAUSWEEP_COMMIT``.
    That is read first, because the code may be inside the checkout of something else.
    """
    if (carried := os.environ.get("TAUSWEEP_COMMIT")) is not None:
        return carried
    folder = Path(tausweep.__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None
