"""What docs/findings.md says of the kept studies: their verdicts, and which records carry them.

A study that is not finished counts with the runs that it has, and the page says how many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pandas as pd

from tausweep import study as studies
from tausweep.claims import verdicts as written
from tausweep.claims.standing import STANDINGS, Standing, standing
from tausweep.claims.verdicts import Verdict, shown, without_one_seed
from tausweep.report import protocol
from tausweep.results import labels, markdown, records
from tausweep.storage.layout import File, Folder
from tausweep.study import Study

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FROM_DOCS = "../benchmarks/measured"

JUDGED = ("cifar10-200", "cifar10-small", "demo")
"""The studies whose verdicts are findings, the longest training first. Others repeat runs of these
beside other losses, or have too few temperatures for any rule."""

FEWEST_SEEDS = 2
"""With a single seed of each cell nothing is judged, so that a study with less is no column."""

JUDGES = ("supported", "contradicted", "undecided")

CITED: dict[str, str] = {}
"""Where the links of the page lead, by their text."""


@dataclass(frozen=True)
class Kept:
    """What is kept of a study, finished or not.

    Attributes:
        study: The study.
        folder: Where its tables are: ``<study>``, or ``<study>/partial``.
    """

    study: Study
    folder: Path

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.study.study

    @cached_property
    def records(self) -> pd.DataFrame:
        """One row per run of the study."""
        return records.read_table(self.folder / File.RECORDS)

    @cached_property
    def along(self) -> pd.DataFrame | None:
        """Measures along training, if there are any."""
        return records.read_along(self.folder / File.ALONG_TABLE)

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """The overall verdict by claim; its reason is that of the study's one dataset."""
        every = written.read(self.folder / File.CLAIMS_JSON)
        overall = {v.claim: v for v in every if v.dataset is None}
        return {v.claim: v for v in every if v.dataset and v.verdict == overall[v.claim].verdict}

    @property
    def miniature(self) -> bool:
        """Whether it is smaller than the paper's."""
        return protocol.scaled_down(self.study) is not None

    @property
    def runs(self) -> str:
        """How many of its runs have a record: ``27``, or ``12 of 75``."""
        done = int(self.records["status"].isin(["complete", "diverged"]).sum())
        whole = len(self.study.runs())
        return f"{done}" if done == whole else f"{done} of {whole}"

    @property
    def seeds(self) -> int:
        """The most seeds that a cell of a loss has."""
        rows = self.records[self.records["status"] == "complete"]
        rows = rows[~rows["loss"].isin(labels.BASELINES)]
        counts = rows.groupby(["loss", "temperature"], dropna=False)["seed"].nunique()
        return int(counts.max()) if len(counts) else 0

    @property
    def whole(self) -> bool:
        """Whether every run has a record."""
        return " of " not in self.runs

    @property
    def called(self) -> str:
        """Its name, with the number of its runs while it is not finished."""
        return self.name + ("" if self.whole else f", {self.runs} runs")

    def cite(self, claim: str) -> str:
        """A link to a claim's rule and numbers; ``references`` says where it leads."""
        verdict = self.verdicts[claim]
        heading = f"{claim} {shown(verdict.verdict, self.miniature)}".lower().replace(" ", "-")
        label = f"[{self.name} {claim}" + self.called.removeprefix(self.name) + "]"
        CITED[label] = f"{self.place}/{File.CLAIMS_MARKDOWN}#{heading}"
        return label

    @property
    def place(self) -> str:
        """Its folder, from docs/."""
        return f"{FROM_DOCS}/{self.folder.relative_to(HERE).as_posix()}"

    def core_hours(self) -> float:
        """Training of all its runs, each on one thread, as far as they are measured."""
        return float(self.records["pretrain_seconds"].mean() * len(self.study.runs()) / 3600)


@cache
def kept(name: str) -> Kept | None:
    """A study by name; none if nothing is kept of it."""
    study = studies.load(ROOT / f"benchmarks/{name}.yaml")
    for folder in (HERE / name, HERE / name / Folder.PARTIAL):
        if (folder / File.RECORDS).is_file():
            return Kept(study, folder)
    return None


def there(name: str) -> Kept:
    """A kept study.

    Raises:
        ValueError: Nothing is kept of it.
    """
    study = kept(name)
    if study is None:
        raise ValueError(f"{name}: nothing is kept of it")
    return study


def judged() -> list[Kept]:
    """The studies whose verdicts are findings, of those that are kept and have any interval."""
    return [
        found
        for name in JUDGED
        if (found := kept(name)) is not None and found.seeds >= FEWEST_SEEDS
    ]


def says(
    name: str, claim: str, verdict: str, *, begins: str = "", steady: bool | None = None
) -> str:
    """A link to a claim's verdict, for a sentence that states it.

    Args:
        name: The study.
        claim: C1, C2, ...
        verdict: What the sentence states.
        begins: How the deciding numbers begin, if it states that.
        steady: Whether the verdict is the same without any one seed, if it states that.

    Raises:
        ValueError: The records say something else now, and the sentence must be written anew.
    """
    study = kept(name)
    if study is None:
        raise ValueError(f"{name}: nothing is kept of it, but a sentence is about it")
    found = study.verdicts[claim]
    stated = (verdict, begins, found.steady if steady is None else steady)
    measured = (found.verdict, found.headline[: len(begins)], found.steady)
    if stated != measured:
        raise ValueError(f"{name}, {claim}: a sentence states {stated}, the records {measured}")
    return study.cite(claim)


def references() -> str:
    """Where the links lead that were made so far."""
    return "\n".join(f"{label}: {CITED[label]}" for label in sorted(CITED))


def where(wanted: Standing) -> str:
    """The claims that stand so: what each study says of them, and by which numbers."""
    if wanted not in STANDINGS:
        raise ValueError(f"{wanted}: is not one of {', '.join(STANDINGS)}")
    items = []
    for claim, found in _by_claim():
        if found[0][1].kind == "finding" and standing(v for _, v in found) == wanted:
            said = [_sentence(study, v) for study, v in found if v.verdict in JUDGES or v.why]
            items.append(f"- **{claim}: {found[0][1].text}.**")
            # Four spaces, which every Markdown takes for a list in a list.
            items += [f"    - {sentence}" for sentence in said]
    return "\n".join(items) or "- None."


def _by_claim() -> Iterator[tuple[str, list[tuple[Kept, Verdict]]]]:
    for claim in judged()[0].verdicts:
        yield claim, [(study, study.verdicts[claim]) for study in judged()]


def _sentence(study: Kept, verdict: Verdict) -> str:
    word = shown(verdict.verdict, study.miniature).capitalize()
    what = verdict.why or verdict.reason.split("; unchecked preconditions")[0]
    # Two parts of a rule may lack the same cell.
    parts = list(dict.fromkeys(what.split("; ")))
    if verdict.verdict in ("supported", "contradicted"):
        parts = parts[:1]
    text = f"{word} {study.cite(verdict.claim)}: {'; '.join(parts)}"
    if verdict.verdict in JUDGES and verdict.steady is False:
        text += f"; **{without_one_seed(verdict, study.miniature)}**"
    if verdict.preconditions.get("settled", {}).get("held") is False:
        hours = 2 * study.core_hours()
        text += f"; all runs with twice the epochs would take some {hours:.1f} core-hours"
    return f"{text}."


def verdict_table() -> str:
    """Every claim's verdict in every study, and what it is without any one seed."""
    body = []
    for claim, found in _by_claim():
        row = [f"**{claim}** {found[0][1].text}"]
        for study, verdict in found:
            numbers = f"<br>{verdict.headline}" if verdict.headline else ""
            row.append(f"**{shown(verdict.verdict, study.miniature)}**{numbers}")
            row.append(without_one_seed(verdict, study.miniature))
        body.append(row)
    heads = [head for study in judged() for head in (study.called, "any one seed left out")]
    return "\n".join(markdown.table(["the paper's claim", *heads], body))


def _decided() -> list[tuple[Kept, Verdict]]:
    """Findings that are judged, in each study, with their verdicts without each seed."""
    return [
        (study, v)
        for study in judged()
        for v in study.verdicts.values()
        if v.kind == "finding" and v.verdict in JUDGES and v.steady is not None
    ]


def hanging() -> str:
    """How many verdicts that judge are the same without any one seed, and which are not."""
    found = _decided()
    loose = [study.cite(v.claim) for study, v in found if not v.steady]
    same = len(found) - len(loose)
    text = f"{same} of {len(found)} verdicts that judge are the same without any one seed"
    return f"{text}. The others are {', '.join(loose)}." if loose else f"{text}."


def overturned() -> str:
    """The verdicts that fail a precondition, or become another that decides, without some seed."""
    ends: dict[str, list[str]] = {}
    for study, verdict in _decided():
        for outcome in ("not tested", "supported", "contradicted"):
            if outcome != verdict.verdict and outcome in verdict.without_seed.values():
                word = shown(outcome, study.miniature)
                ends.setdefault(word, []).append(study.cite(verdict.claim))
    said = [f"{', '.join(cites)} can become {word}" for word, cites in ends.items()]
    return "; ".join(said) or "no verdict does"


def studies_table(*names: str) -> str:
    """The studies that are kept: what they trained, how much of them there is, their records."""
    body = []
    for study in filter(None, map(kept, names)):
        settings = study.study.runs()[0].settings
        limit = settings.dataset.train_limit
        body.append(
            [
                f"[`{study.name}`](../benchmarks/{study.name}.yaml)",
                ", ".join(labels.dataset(name) for name in study.study.datasets)
                + (f", {limit:,} images" if limit else ""),
                f"{settings.pretrain.epochs}",
                f"{len(study.study.seeds)}",
                study.runs,
                "yes" if study.along is not None else "no",
                f"[records]({study.place}/{File.RECORDS}), "
                f"[verdicts]({study.place}/{File.CLAIMS_MARKDOWN})",
            ]
        )
    heads = ["study", "images", "epochs", "seeds", "runs kept", "geometry along training", "here"]
    return "\n".join(markdown.table(heads, body))


def along_study() -> Kept:
    """The first study whose figure along training is kept.

    Raises:
        ValueError: There is none.
    """
    for study in judged():
        if study.along is not None and (study.folder / Folder.FIGURES / "along.svg").is_file():
            return study
    raise ValueError("no kept study was measured along its training")


def along_figure() -> str:
    """Its figure along training."""
    study = along_study()
    place = f"{study.place}/{Folder.FIGURES}/along.svg"
    return f"![Measures along training, {study.called}]({place})"


def along_change(column: str, temperature: float) -> str:
    """How contrastive at a temperature changes between the study's last two points of training.

    Means over seeds, and the epochs: ``0.402 to 0.237 from epoch 12 to 24``.
    """
    table = along_study().along
    assert table is not None
    rows = table[(table["loss"] == "contrastive") & (table["temperature"] == temperature)]
    means = rows.groupby("epoch")[column].mean().iloc[-2:]
    digits = labels.measure(column).digits or 3
    values = " to ".join(f"{value:.{digits}f}" for value in means)
    return f"{values} from epoch {' to '.join(str(epoch) for epoch in means.index)}"


def along_ends() -> list[float]:
    """The lowest and the highest temperature of contrastive in that study."""
    table = along_study().along
    assert table is not None
    found = table["temperature"][table["loss"] == "contrastive"].dropna()
    return [float(found.min()), float(found.max())]


def shrinking_gap(name: str, column: str) -> str:
    """Contrastive at its highest temperature minus its lowest, at the last two points of training.

    Raises:
        ValueError: The size of the difference does not shrink, as the page says.
    """
    study = kept(name)
    if study is None or study.along is None:
        raise ValueError(f"{name}: no measures along its training are kept")
    rows = study.along[study.along["loss"] == "contrastive"]
    means = rows.pivot_table(index="epoch", columns="temperature", values=column).iloc[-2:]
    gaps = means[means.columns.max()] - means[means.columns.min()]
    if not abs(gaps.iloc[1]) < abs(gaps.iloc[0]):
        raise ValueError(f"{name}: the page says that the gap shrinks, the records {list(gaps)}")
    digits = labels.measure(column).digits or 3
    return " and ".join(f"{gap:+.{digits}f} at epoch {epoch}" for epoch, gap in gaps.items())


def shared_runs(name: str, *others: str) -> str:
    """How many runs of a study others have too, with the same numbers: they are no new evidence."""
    key = ["loss", "temperature", "seed", "linear_accuracy", "uniformity"]
    first, said = there(name), []
    for other in filter(None, map(kept, others)):
        both = first.records[key].merge(other.records[key], on=key)
        said.append(f"{len(both)} of the {len(other.records)} in `{other.name}`")
    return (
        f"Of the {len(first.records)} runs of `{name}`, with the same numbers, are "
        f"{' and '.join(said)}: they are no new evidence."
    )


def registered(name: str) -> str:
    """How far a registered study is: ``none of its 75 runs is kept yet``."""
    found = kept(name)
    if found is None:
        whole = len(studies.load(ROOT / f"benchmarks/{name}.yaml").runs())
        return f"none of its {whole} runs is kept yet"
    return f"{found.runs} runs are kept"
