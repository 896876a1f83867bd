"""What comes with the package beside its modules: workflow, profiles, studies, numbers of others.

In a checkout they lie at its root. A wheel has them under the same paths in ``tausweep/_shipped``
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
    """The folder that has all of it.

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
    """Study files by the name that stands for them: ``demo``, ``paper``, ``options/flip``, ..."""
    folder = path(STUDIES)
    found = [*folder.glob("*.yaml"), *folder.glob("options/*.yaml")]
    return {str(file.relative_to(folder).with_suffix("")): file for file in sorted(found)}


def study_file(given: str) -> str:
    """The study file that a user means by a path, or by the name of a study that is shipped.

    A file of the working folder comes before a shipped study of the same name.

    Args:
        given: As it was typed.

    Returns:
        The path as it was typed, or that of the shipped study. A path to a file that is not there
        stays as it is, for whoever reads it to complain about.

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
    """What to call a study file in a record: the name of a shipped study, or else its path.

    The reverse of ``study_file``: jobs take the name too, and it does not tell where the package is
    installed.
    """
    for name, shipped in studies().items():
        if Path(file).is_absolute() and Path(file) == shipped and not Path(name).exists():
            return name
    return file
