"""What made a result: code, packages, hardware, command, time."""

from __future__ import annotations

import ast
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

WITHOUT_NUMBERS = frozenset(
    {
        "atomic",
        "study",
        "datasets",
        "plugins",
        "checkpoints",
        "run_lock",
        "provenance",
        "devices",
        "syntax",
    }
)
"""Rooms that no number depends on but through the settings and the data digest of a record."""

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow", "safetensors",
            "snakemake", "tausweep")  # fmt: skip


@cache
def code_version(stage: str, follow: bool = True) -> str:
    """Digest of the code that makes the numbers of a stage: its module and all that it imports.

    Syntax trees are digested: comments, docstrings and formatting do not count.

    Args:
        stage: Name of a module, ``pretrain`` or ``evaluate`` for a stage.
        follow: Whether the rooms that it imports count too.

    Returns:
        Twelve hexadecimal digits.
    """
    digests: dict[str, str] = {}
    waiting = [stage]
    while waiting:
        name = waiting.pop()
        if name in digests or name in WITHOUT_NUMBERS:
            continue
        digests[name], imported = _room(name)
        waiting += imported if follow else []
    return hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()[:12]


@cache
def _room(name: str) -> tuple[str, list[str]]:
    """Syntax digest of a module, and the rooms of this package that it imports anywhere."""
    source = (Path(tausweep.__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "tausweep":
            found += [alias.name for alias in node.names if not alias.name.startswith("_")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tausweep."):
            found.append(str(node.module).split(".")[1])
    return syntax_digest(source), found


def now() -> str:
    """The time in UTC, to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def describe(started: str, hardware: dict[str, Any]) -> dict[str, Any]:
    """Provenance of a job that ends now, JSON-ready."""
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
    """The commit of the checkout that the code runs from, ``+`` if the code differs from it.

    Code that was carried to a machine without its checkout has its commit in ``TAUSWEEP_COMMIT``,
    which is asked first: it may lie within the checkout of something else.
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
