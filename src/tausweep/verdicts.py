"""Verdicts: their shape, the verdict over all datasets, and how they are written down."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tausweep.comparisons import OUTCOMES, Finding, Outcome
from tausweep.evidence import STAND_IN, Evidence
from tausweep.preconditions import Need, State
from tausweep.statistics import MARGINS, MARGINS_SOURCE, PRIOR_CELLS

CLEARLY = (
    "(Clearly: the 95% interval of the difference paired by seed lies beyond the threshold, 0 if "
    "none is named. With "
    f"{PRIOR_CELLS} cells of the measure or more the interval is moderated: the variance is shrunk "
    "towards those of the other comparisons of the measure (Smyth 2004); with fewer it is a plain "
    "t-interval. Its half-width over seeds is the noise margin divided by the square root of the "
    "number of seeds at least, since seeds that agree by chance are no certainty, and the sampling "
    "noise of the test images is added to it in squares, undivided, since all seeds share them. "
    "One seed is never clear, but where the noise of one run is known. Where any of several parts "
    "could contradict a claim alone, each has its share of the 5%. The "
    f"noise margin is {MARGINS['linear_accuracy']:g} points of accuracy (unless another is asked "
    f"for), {MARGINS['uniformity']:g} of uniformity, {MARGINS['tolerance']:g} of tolerance and of "
    "similarities. A temperature that the grid lacks is replaced by its nearest one within "
    f"a factor of {STAND_IN:g}. What reads a cell with a diverged run is undecided; with a "
    "collapsed run, whose embeddings are one point, it is not tested.)"
)
"""What every rule means by "clearly"; it stands at the end of each rule that uses the word."""

OVERALL = (
    "Supported if the claim is supported on every dataset that counts, contradicted if it is "
    "contradicted on every one, else undecided. A dataset on which it is not tested or not "
    "measured does not count; if none counts, the claim is not tested or not measured."
)

MEANING: dict[Outcome, str] = {
    "supported": "the records clearly show what is claimed",
    "contradicted": "they clearly show the opposite",
    "undecided": "measured, but the seeds cannot tell",
    "not tested": "a precondition fails, so that the records cannot speak for or against it",
    "not measured": "the study lacks what the claim is about",
}
"""What each outcome means."""


@dataclass(frozen=True)
class Claim:
    """What is claimed, the rule that judges it in words, and the rule itself.

    Attributes:
        id: C1, C2, ...
        text: What is claimed.
        rule: In words.
        judge: From a dataset's evidence to a finding.
        needs: What must hold before it is tested.
        kind: ``finding``, or ``identity``: a check of the implementation.
    """

    id: str
    text: str
    rule: str
    judge: Callable[[Evidence], Finding]
    needs: tuple[Need, ...] = ()
    kind: Literal["finding", "identity"] = "finding"


@dataclass(frozen=True)
class Verdict:
    """What the records say about a claim.

    Attributes:
        claim: C1, C2, ...
        dataset: Its name; none for the verdict over all datasets.
        verdict: One of ``comparisons.OUTCOMES``.
        rule: How it was reached, in words.
        numbers: What decided, JSON-ready.
        reason: One sentence with the deciding numbers.
        text: What is claimed.
        headline: The deciding numbers alone, for a table's cell.
        kind: ``finding`` or ``identity``.
        preconditions: By name: whether it held (none if not known) and why.
        comparisons: How many differences were held against noise.
    """

    claim: str
    dataset: str | None
    verdict: Outcome
    rule: str
    numbers: dict[str, Any]
    reason: str
    text: str = ""
    headline: str = ""
    kind: Literal["finding", "identity"] = "finding"
    preconditions: dict[str, dict[str, Any]] = field(default_factory=dict)
    comparisons: int = 0


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
    outcome, reason, states = found.outcome, found.reason, {}
    if outcome in ("supported", "contradicted", "undecided") and found.numbers:
        states = {
            need.name: need.state(e) if need.state else _settled(claim, checkpoints)
            for need in claim.needs
        }
        failed = [state.reason for state in states.values() if state.held is False]
        unknown = [need.name for need in claim.needs if states[need.name].held is None]
        if failed:
            outcome, reason = "not tested", f"{'; '.join(failed)} (measured: {reason})"
        elif unknown:
            reason += f"; not known: {', '.join(unknown)}"
    return Verdict(
        claim=claim.id,
        dataset=dataset,
        verdict=outcome,
        rule=claim.rule,
        numbers=found.numbers,
        reason=reason,
        text=claim.text,
        headline=found.headline,
        kind=claim.kind,
        preconditions={name: asdict(state) for name, state in states.items()},
        comparisons=found.comparisons,
    )


def _checkpoints(e: Evidence) -> list[Evidence]:
    """The last two checkpoints as evidence of their own; none if there are not two."""
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
        return State(None, "no measures along training")
    before, after = (claim.judge(e).outcome for e in checkpoints)
    if "not measured" in (before, after):
        return State(None, "what it reads is not measured along training")
    if before != after:
        return State(
            False, f"still changing: {before} at the last checkpoint but one, then {after}"
        )
    return State(True, f"{after} at both of the last two checkpoints")


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
    """An outcome in print: a miniature contradicts nothing but in the miniature."""
    if miniature and outcome == "contradicted":
        return "contradicted in the miniature"
    return outcome


def headline(verdicts: Iterable[Verdict], where: str, seeds: int, miniature: bool) -> str:
    """What was tested and what came of it, in one sentence to be quoted.

    Args:
        verdicts: Of a study; the overall ones of its findings are counted.
        where: The datasets in print.
        seeds: How many runs a cell has.
        miniature: Whether the study is smaller than the paper's.
    """
    found = [v for v in verdicts if v.dataset is None]
    findings = [v.verdict for v in found if v.kind == "finding"]
    identities = [v.verdict for v in found if v.kind == "identity"]
    what = "A miniature of the paper's experiments" if miniature else "This repetition"
    counts = {kind: findings.count(kind) for kind in OUTCOMES}
    tested = counts["supported"] + counts["contradicted"] + counts["undecided"]
    parts = [
        f"{counts['supported']} supported",
        f"{counts['contradicted']} {shown('contradicted', miniature)}",
        f"{counts['undecided']} left undecided",
    ]
    rest = [f"{counts[kind]} {kind}" for kind in OUTCOMES[3:] if counts[kind]]
    text = (
        f"{what} on {where} with {seeds} seed{'' if seeds == 1 else 's'} could test {tested} of "
        f"{len(findings)} empirical claims of Wang & Liu (2021): {', '.join(parts)}"
    )
    text += f" ({' and '.join(rest)})" if rest else ""
    if miniature:
        text += "; it says nothing certain about the paper's own scale"
    passed = identities.count("supported")
    return f"{text}. The implementation passes {passed} of {len(identities)} identities."


def multiplicity(verdicts: Iterable[Verdict]) -> str:
    """How many comparisons were made, and what chance may do, in one sentence."""
    made = sum(v.comparisons for v in verdicts if v.dataset is not None)
    return (
        f"{made} differences were held against noise for these verdicts; where in truth nothing "
        "differs, at most 5 in 100 studies contradict a given claim of a dataset (simulated, "
        "docs/claims.md)."
    )


def to_csv(verdicts: list[Verdict]) -> str:
    """One row a claim and dataset, the overall verdict under an empty dataset."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["claim", "kind", "dataset", "verdict", "numbers", "reason", "text"])
    for v in verdicts:
        writer.writerow([v.claim, v.kind, v.dataset or "", v.verdict, v.headline, v.reason, v.text])
    return text.getvalue()


def to_json(verdicts: list[Verdict]) -> str:
    """Canonical JSON: a list of objects, keys sorted, no NaN, a newline at the end."""
    objects = [asdict(verdict) for verdict in verdicts]
    return json.dumps(objects, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def to_markdown(verdicts: list[Verdict], miniature: bool = False) -> str:
    """A table of claims against datasets, then each claim's rule and its reasons by dataset."""
    datasets = sorted({v.dataset for v in verdicts if v.dataset is not None})
    by_claim: dict[str, dict[str | None, Verdict]] = {}
    for verdict in verdicts:
        by_claim.setdefault(verdict.claim, {})[verdict.dataset] = verdict
    header = ["claim", *datasets, "overall"]
    lines = [_row(header), _row(["---"] * len(header))]
    for claim, found in by_claim.items():
        cells = [_cell(found.get(name), miniature) for name in [*datasets, None]]
        one = next(iter(found.values()))
        kind = " (identity)" if one.kind == "identity" else ""
        lines.append(_row([f"**{claim}** {one.text}{kind}", *cells[:-1], f"**{cells[-1]}**"]))
    lines += [
        "",
        "Under each verdict stand the numbers that decided it: with two seeds or more ± the "
        "half-width of the 95% interval that the verdict uses (moderated, with the test split's "
        "noise; tables of cells show plain t-intervals), in brackets the number of seeds. The "
        "sections say what they are differences of. An identity checks the implementation.",
        "",
        multiplicity(verdicts),
        "",
        CLEARLY.strip("()"),
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
        lines += [rule.removesuffix(CLEARLY).strip(), ""]
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


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
