"""Verdicts: their structure, the verdict over all datasets, and output formats."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tausweep.claims.comparisons import OUTCOMES, Finding, Outcome
from tausweep.claims.evidence import Evidence
from tausweep.claims.phrases import count_of
from tausweep.claims.preconditions import Need, State
from tausweep.claims.readings import STAND_IN
from tausweep.results import markdown
from tausweep.results.intervals import MARGINS, MARGINS_SOURCE, PRIOR_CELLS
from tausweep.study import StudyError

CLEARLY = (
    "Clearly: the 95% interval of the difference, paired by seed, lies entirely beyond the "
    "threshold, which is 0 unless one is named. If the measure has at least "
    f"{PRIOR_CELLS} cells, the interval is moderated: its variance is shrunk towards the variances "
    "of the measure's other comparisons (Smyth 2004). With fewer cells it is a plain t-interval. "
    "Its half-width over seeds is at least the noise margin divided by the square root of the "
    "number of seeds, because seeds can agree by chance. The sampling noise of the test images is "
    "added in quadrature; it is not divided by the number of seeds, because all seeds share the "
    "images. A single seed is never clear unless the noise of one run is known. If several parts "
    "could each contradict a claim alone, each gets its share of the 5%. The noise margin is "
    f"{MARGINS['linear_accuracy']:g} points of accuracy (unless another is given), "
    f"{MARGINS['uniformity']:g} of uniformity, and {MARGINS['tolerance']:g} of tolerance and of "
    "similarities. If the grid lacks a temperature, the nearest one within "
    f"a factor of {STAND_IN:g} stands in. A claim that reads a cell with a diverged run is "
    "undecided; one that reads a cell with a collapsed run, whose embeddings are all one point, is "
    "not tested."
)
"""What "clearly" means in every rule."""

OVERALL = (
    "Supported if every dataset that counts supports the claim, contradicted if every one "
    "contradicts it, otherwise undecided. A dataset where the claim is not tested or not measured "
    "does not count. If none counts, the claim is not tested if any dataset says so, else not "
    "measured."
)

MEANING: dict[Outcome, str] = {
    "supported": "the records clearly show what the paper claims",
    "contradicted": "the records clearly show the opposite",
    "undecided": "measured, but the seeds cannot tell",
    "not tested": (
        "a precondition fails, or the study lacks a temperature that the rule needs, or embeddings "
        "collapsed: the records cannot speak for or against it"
    ),
    "not measured": "the study did not measure what the claim is about",
}
"""What each verdict means."""


@dataclass(frozen=True)
class Claim:
    """A claim, the rule that judges it in words, and the rule itself.

    Attributes:
        id: C1, C2, ...
        text: What is claimed.
        reads: What is read to judge it, and where the paper shows it.
        rule: In words.
        judge: The rule as a function from a dataset's evidence to a finding.
        needs: What must hold before it is tested.
        kind: ``finding``, or ``identity``: a check of the implementation.
    """

    id: str
    text: str
    reads: str
    rule: str
    judge: Callable[[Evidence], Finding]
    needs: tuple[Need, ...] = ()
    kind: Literal["finding", "identity"] = "finding"

    @property
    def said(self) -> str:
        """The rule and the preconditions, in words."""
        needs = "; ".join(need.text for need in self.needs)
        return f"{self.rule} Needs: {needs}." if needs else self.rule


@dataclass(frozen=True)
class Verdict:
    """What the records say about a claim.

    Attributes:
        claim: C1, C2, ...
        dataset: Its name; none for the verdict over all datasets.
        verdict: One of ``comparisons.OUTCOMES``.
        rule: The rule in words.
        numbers: The deciding numbers, ready for JSON.
        reason: One sentence with the deciding numbers.
        why: Why the claim is not tested or not measured; empty if it is judged.
        text: What is claimed.
        headline: The deciding numbers alone, for a table's cell.
        kind: ``finding`` or ``identity``.
        preconditions: By name: whether it held (none if not known) and why. Empty if the rule came
            to no judgement that they could overrule; ``why`` then says what the rule lacked.
        comparisons: How many differences were compared with noise.
        without_seed: The verdict without each seed, by seed; see ``leave_one_out``.
    """

    claim: str
    dataset: str | None
    verdict: Outcome
    rule: str
    numbers: dict[str, Any]
    reason: str
    why: str = ""
    text: str = ""
    headline: str = ""
    kind: Literal["finding", "identity"] = "finding"
    preconditions: dict[str, dict[str, Any]] = field(default_factory=dict)
    comparisons: int = 0
    without_seed: dict[str, Outcome] = field(default_factory=dict)

    @property
    def steady(self) -> bool | None:
        """Whether the verdict is the same without any one seed; none if no seed was left out."""
        if not self.without_seed:
            return None
        return set(self.without_seed.values()) == {self.verdict}


def judge_each(claims: Iterable[Claim], datasets: Mapping[str, Evidence]) -> list[Verdict]:
    """Every claim's verdict on every dataset, followed by its overall one."""
    verdicts = []
    checkpoints = {name: _checkpoints(evidence) for name, evidence in datasets.items()}
    for claim in claims:
        each = [_judge(claim, name, e, checkpoints[name]) for name, e in datasets.items()]
        verdicts += [*each, overall(claim, each)]
    return verdicts


def _judge(claim: Claim, dataset: str, e: Evidence, checkpoints: list[Evidence]) -> Verdict:
    found = claim.judge(e)
    outcome, reason, why, states = found.outcome, found.reason, "", {}
    if outcome in ("supported", "contradicted", "undecided") and found.numbers:
        states = {
            need.name: need.state(e) if need.state else _settled(claim, checkpoints)
            for need in claim.needs
        }
        failed = [state.reason for state in states.values() if state.held is False]
        unknown = [
            f"{name} ({state.reason})" for name, state in states.items() if state.held is None
        ]
        if failed:
            outcome, why = "not tested", "; ".join(failed)
            reason = f"{why} (measured: {reason})"
        elif unknown:
            reason += f"; unchecked preconditions: {', '.join(unknown)}"
    return Verdict(
        claim=claim.id,
        dataset=dataset,
        verdict=outcome,
        rule=claim.said,
        numbers=found.numbers,
        reason=reason,
        why=why or (found.reason if outcome in OUTCOMES[3:] else ""),
        text=claim.text,
        headline=found.headline,
        kind=claim.kind,
        preconditions={name: asdict(state) for name, state in states.items()},
        comparisons=found.comparisons,
    )


def _checkpoints(e: Evidence) -> list[Evidence]:
    """Separate evidence for each of the last two checkpoints; empty if there are not two."""
    if e.along is None or e.along.empty:
        return []
    shares = sorted(e.along["share"].dropna().unique())[-2:]
    if len(shares) < 2:
        return []
    return [
        Evidence(
            e.along[e.along["share"] == share].assign(status="complete"),
            e.margins,
            one_run=e.one_run,
            test_images=e.test_images,
            like=e,
        )
        for share in shares
    ]


def _settled(claim: Claim, checkpoints: list[Evidence]) -> State:
    if not checkpoints:
        return State(None, "nothing was measured along training")
    before, after = (claim.judge(e).outcome for e in checkpoints)
    if "not measured" in (before, after):
        return State(None, "what the claim reads was not measured along training")
    if before != after:
        return State(
            False,
            f"training still changes the verdict: {before} at the second-to-last checkpoint, "
            f"{after} at the last",
        )
    return State(True, f"{after} at each of the last two checkpoints")


def overall(claim: Claim, verdicts: list[Verdict]) -> Verdict:
    """The verdict over all datasets, by ``OVERALL``; ``numbers`` has the datasets of each kind."""
    split: dict[str, list[str]] = {kind: [] for kind in OUTCOMES}
    for verdict in verdicts:
        split[verdict.verdict].append(str(verdict.dataset))
    counting: list[Outcome] = [k for k in OUTCOMES[:3] if split[k]]
    if len(counting) == 1:
        outcome = counting[0]
    elif counting:
        outcome = "undecided"
    else:
        outcome = "not tested" if split["not tested"] else "not measured"
    named = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in split.items() if names)
    return Verdict(
        claim=claim.id,
        dataset=None,
        verdict=outcome,
        rule=OVERALL,
        numbers=dict(split),
        reason=named or "no dataset",
        text=claim.text,
        kind=claim.kind,
        comparisons=sum(verdict.comparisons for verdict in verdicts),
    )


def shown(outcome: str, miniature: bool) -> str:
    """A verdict in print; "contradicted" becomes "contradicted in the miniature" if it is one."""
    if miniature and outcome == "contradicted":
        return "contradicted in the miniature"
    return outcome


def without_one_seed(verdict: Verdict, miniature: bool = False) -> str:
    """``same``, or what the verdict is without a seed; empty if no seed was left out."""
    if verdict.steady is not False:
        return "same" if verdict.steady else ""
    seeds: dict[str, list[str]] = {}
    for seed, outcome in verdict.without_seed.items():
        if outcome != verdict.verdict:
            seeds.setdefault(shown(outcome, miniature), []).append(seed)
    if [len(found) for found in seeds.values()] == [len(verdict.without_seed)]:
        return f"{next(iter(seeds))} without any one seed"
    return "; ".join(f"{word} without seed {' or '.join(found)}" for word, found in seeds.items())


def headline(verdicts: Iterable[Verdict], where: str, seeds: int, miniature: bool) -> str:
    """What was tested and the result, in one sentence that can be quoted.

    Args:
        verdicts: A study's verdicts; the overall ones of its findings are counted.
        where: The datasets in print.
        seeds: Runs per cell.
        miniature: Whether the study is smaller than the paper's.
    """
    found = [v for v in verdicts if v.dataset is None]
    findings = [v.verdict for v in found if v.kind == "finding"]
    identities = [v.verdict for v in found if v.kind == "identity"]
    counts = {kind: findings.count(kind) for kind in OUTCOMES}
    what = "a miniature" if miniature else "a reproduction"
    text = (
        f"In {what} of Wang & Liu (2021) on {where} with {count_of(seeds, 'seed')}, "
        f"{_share(counts, len(findings), miniature)}."
    )
    if miniature:
        text += " A miniature cannot settle what happens at the paper's own scale."
    passed = identities.count("supported")
    return f"{text} The implementation passes {passed} of {len(identities)} identity checks."


def _share(counts: Mapping[Outcome, int], findings: int, miniature: bool) -> str:
    """How many findings got each verdict: the main clause of the headline."""
    rest = [f"{counts[kind]} {kind}" for kind in OUTCOMES[3:] if counts[kind]]
    if not any(counts[kind] for kind in OUTCOMES[:3]):
        why = " and ".join(rest)
        return f"none of the paper's {findings} empirical claims could be judged ({why})"
    *first, last = [
        f"{counts['supported'] or 'none'} of the paper's {findings} empirical claims "
        f"{'was' if counts['supported'] == 1 else 'were'} supported",
        f"{counts['contradicted'] or 'none'} {shown('contradicted', miniature)}",
        f"{counts['undecided'] or 'none'} left undecided",
        *rest,
    ]
    return f"{', '.join(first)} and {last}"


def multiplicity(verdicts: Iterable[Verdict]) -> str:
    """How many comparisons were made, and what chance can do, in two sentences."""
    made = sum(v.comparisons for v in verdicts if v.dataset is not None)
    return (
        f"These verdicts compare {count_of(made, 'difference')} with noise. If nothing differed in "
        "truth, at most 5 in 100 such studies would contradict any given claim on a dataset "
        "(simulated, docs/claims.md)."
    )


def to_csv(verdicts: list[Verdict]) -> str:
    """One row per claim and dataset; the overall verdict has an empty dataset."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = ["claim", "kind", "dataset", "verdict", "numbers", "reason", "text"]
    writer.writerow([*heads, "without_one_seed"])
    for v in verdicts:
        said = [v.claim, v.kind, v.dataset or "", v.verdict, v.headline, v.reason, v.text]
        writer.writerow([*said, without_one_seed(v)])
    return text.getvalue()


def to_json(verdicts: list[Verdict]) -> str:
    """Canonical JSON: a list of objects, keys sorted, no NaN, a newline at the end."""
    objects = [asdict(verdict) for verdict in verdicts]
    return json.dumps(objects, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def read(path: Path) -> list[Verdict]:
    """Read the verdicts in a file that ``to_json`` made.

    Raises:
        StudyError: It is missing, or is not a list of verdicts of this version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [Verdict(**entry) for entry in content]
    except FileNotFoundError:
        raise StudyError(f"{path}: there are no verdicts; `tausweep claims` makes them") from None
    except (ValueError, TypeError):
        raise StudyError(
            f"{path}: is damaged or of another version; `tausweep claims` makes it again"
        ) from None


_LEFT_OUT = " The last column says what the overall verdict is without the records of any one seed."


def to_markdown(verdicts: list[Verdict], miniature: bool = False) -> str:
    """A table of claims against datasets, then each claim's rule and its reasons by dataset."""
    datasets = sorted({v.dataset for v in verdicts if v.dataset is not None})
    by_claim: dict[str, dict[str | None, Verdict]] = {}
    for verdict in verdicts:
        by_claim.setdefault(verdict.claim, {})[verdict.dataset] = verdict
    left_out = ["any one seed left out"] if any(v.without_seed for v in verdicts) else []
    rows = []
    for claim, found in by_claim.items():
        cells = [_cell(found.get(name), miniature) for name in [*datasets, None]]
        one = next(iter(found.values()))
        kind = " (identity)" if one.kind == "identity" else ""
        row = [f"**{claim}** {one.text}{kind}", *cells[:-1], f"**{cells[-1]}**"]
        if left_out:
            row.append(without_one_seed(found[None], miniature))
        rows.append(row)
    lines = [
        *markdown.table(["claim", *datasets, "overall", *left_out], rows),
        "",
        "Below each verdict are the numbers that decided it: mean ± half-width of the 95% interval "
        "that the verdict uses (number of seeds). That interval is moderated and includes the "
        "noise of the test split; the tables of cells show plain t-intervals instead. The sections "
        "below say what each difference is between. An identity checks the implementation."
        + (_LEFT_OUT if left_out else ""),
        "",
        multiplicity(verdicts),
        "",
        CLEARLY,
        "",
        MARGINS_SOURCE,
        "",
        f"Overall: {OVERALL}",
    ]
    for claim, found in by_claim.items():
        lines += ["", *_section(claim, found, miniature)]
    return "\n".join(lines) + "\n"


def _section(claim: str, found: dict[str | None, Verdict], miniature: bool) -> list[str]:
    each = {name: verdict for name, verdict in found.items() if name is not None}
    end = f": {shown(found[None].verdict, miniature)}" if None in found else ""
    lines = [f"### {claim}{end}", ""]
    for rule in dict.fromkeys(verdict.rule for verdict in each.values()):
        lines += [rule, ""]
    reasons: dict[str, list[str]] = {}
    for name, verdict in each.items():
        reasons.setdefault(f"{shown(verdict.verdict, miniature)}. {verdict.reason}", []).append(
            name
        )
    return lines + [f"- {', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _cell(verdict: Verdict | None, miniature: bool) -> str:
    if verdict is None:
        return ""
    word = shown(verdict.verdict, miniature)
    return word + (f"<br>{verdict.headline}" if verdict.headline else "")
