"""Files that come with the package: workflow, profiles, studies, published numbers.

In a checkout they are at its root. A wheel has them under the same paths in ``tausweep/_shipped``
(``force-include`` in pyproject.toml).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tausweep.study import StudyError, did_you_mean

STUDIES = "benchmarks"

_SUFFIXES = (".yaml", ".yml", ".json")


@cache
def root() -> Path:
    """The folder that contains these files.

    Raises:
        FileNotFoundError: The package was installed without them.
    """
    package = Path(__file__).resolve().parents[1]
    places = (package / "_shipped", package.parents[1])
    for place in places:
        if (place / STUDIES).is_dir():
            return place
    raise FileNotFoundError(
        f"the studies are neither in {places[0]} nor in {places[1]}; install tausweep again"
    )


def path(relative: str) -> Path:
    """A file or folder by its path in a checkout, such as ``benchmarks/published``."""
    return root() / relative


def snakefile() -> Path:
    """The workflow, for ``snakemake --snakefile`` and for a Snakemake ``module``."""
    return path("workflow/Snakefile")


def studies() -> dict[str, Path]:
    """Study files by short name: ``demo``, ``paper``, ``options/flip``, ..."""
    folder = path(STUDIES)
    found = [*folder.glob("*.yaml"), *folder.glob("options/*.yaml")]
    return {str(file.relative_to(folder).with_suffix("")): file for file in sorted(found)}


def study_file(given: str) -> str:
    """The study file that a user means by a path or by the name of a shipped study.

    A file in the working folder takes precedence over a shipped study of the same name.

    Args:
        given: The path or name as the user typed it.

    Returns:
        The path as typed, or that of the shipped study. The path of a missing file is returned
        unchanged; whoever reads it reports that.

    Raises:
        StudyError: It is a word, neither a file nor the name of a shipped study.
    """
    if given.endswith(_SUFFIXES) or Path(given).exists():
        return given
    known = studies()
    if given in known:
        return str(known[given])
    if str(Path(given).parent) not in (".", "options"):
        return given
    raise StudyError(
        f"study {given}: is neither a file nor a study that comes with tausweep"
        f"{did_you_mean(given, known)}; these are {', '.join(known)}"
    )


def study_name(file: str) -> str:
    """The name of a study file in records: that of a shipped study, else its path.

    This is the reverse of ``study_file``. Jobs accept the name too, and it does not reveal where
    the package is installed.
    """
    for name, shipped in studies().items():
        if Path(file).is_absolute() and Path(file) == shipped and not Path(name).exists():
            return name
    return file
