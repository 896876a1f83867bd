"""Verdicts: their shape, the verdict over all datasets, and how they are written down."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tausweep.comparisons import Finding, Outcome
from tausweep.evidence import STAND_IN, Evidence
from tausweep.statistics import MARGINS, MARGINS_SOURCE

CLEARLY = (
    "(Clearly: with two seeds or more, the 95% t-interval of the difference paired by seed lies "
    "beyond the threshold, 0 if none is named, where a half-width below the noise margin divided "
    "by the square root of the number of seeds counts as that, since seeds that agree by chance "
    "are no certainty; with one seed, the difference is beyond it by the noise margin or more. The "
    f"noise margin is {MARGINS['linear_accuracy']:g} points of accuracy (unless another is asked "
    f"for), {MARGINS['uniformity']:g} of uniformity, {MARGINS['tolerance']:g} of tolerance and of "
    "similarities. A temperature that the grid lacks is replaced by its nearest one within "
    f"a factor of {STAND_IN:g}. A cell with a diverged run leaves undecided whatever reads it.)"
)
"""What every rule means by "clearly"; it stands at the end of each rule that uses the word."""

OVERALL = (
    "Supported if the claim is supported on every dataset that counts, contradicted if it is "
    "contradicted on one and supported on none, else undecided. A dataset whose study does not ask "
    "for something that the claim reads (a loss, a temperature, a measure) does not count; one "
    "whose runs diverged or failed does, as undecided."
)


@dataclass(frozen=True)
class Claim:
    """What is claimed, the rule that judges it in words, and the rule itself."""

    id: str
    text: str
    rule: str
    judge: Callable[[Evidence], Finding]


@dataclass(frozen=True)
class Verdict:
    """What the records say about a claim.

    Attributes:
        claim: C1, C2, ...
        dataset: Its name; none for the verdict over all datasets.
        verdict: ``supported``, ``contradicted`` or ``undecided``.
        rule: How it was reached, in words.
        numbers: What decided, JSON-ready.
        reason: One sentence with the deciding numbers.
        text: What is claimed.
        headline: The deciding numbers alone, for a table's cell.
        asked: False if the study lacks what the claim reads on this dataset (or on all of them).
    """

    claim: str
    dataset: str | None
    verdict: Outcome
    rule: str
    numbers: dict[str, Any]
    reason: str
    text: str = ""
    headline: str = ""
    asked: bool = True


def judge_each(claims: Iterable[Claim], datasets: Mapping[str, Evidence]) -> list[Verdict]:
    """Every claim's verdict on every dataset, followed by its overall one."""
    verdicts = []
    for claim in claims:
        each = []
        for dataset, evidence in datasets.items():
            found = claim.judge(evidence)
            verdict = Verdict(
                claim=claim.id,
                dataset=dataset,
                verdict=found.outcome,
                rule=claim.rule,
                numbers=found.numbers,
                reason=found.reason,
                text=claim.text,
                headline=found.headline,
                asked=found.asked,
            )
            each.append(verdict)
        verdicts += [*each, overall(claim.id, claim.text, each)]
    return verdicts


def overall(claim: str, text: str, verdicts: list[Verdict]) -> Verdict:
    """The verdict over all datasets, by ``OVERALL``; ``numbers`` has the datasets of each kind."""
    kinds = ("supported", "contradicted", "undecided", "not measured")
    split: dict[str, list[str]] = {kind: [] for kind in kinds}
    for verdict in verdicts:
        kind = verdict.verdict if verdict.asked else "not measured"
        split[kind].append(str(verdict.dataset))
    outcome: Outcome = "undecided"
    if split["supported"] and not split["contradicted"] and not split["undecided"]:
        outcome = "supported"
    if split["contradicted"] and not split["supported"]:
        outcome = "contradicted"
    named = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in split.items() if names)
    return Verdict(
        claim=claim,
        dataset=None,
        verdict=outcome,
        rule=OVERALL,
        numbers=dict(split),
        reason=named or "no dataset",
        text=text,
        asked=any(verdict.asked for verdict in verdicts),
    )


def to_json(verdicts: list[Verdict]) -> str:
    """Canonical JSON: a list of objects, keys sorted, no NaN, a newline at the end."""
    objects = [asdict(verdict) for verdict in verdicts]
    return json.dumps(objects, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def to_markdown(verdicts: list[Verdict]) -> str:
    """A table of claims against datasets, then each claim's rule and its reasons by dataset."""
    datasets = sorted({v.dataset for v in verdicts if v.dataset is not None})
    by_claim: dict[str, dict[str | None, Verdict]] = {}
    for verdict in verdicts:
        by_claim.setdefault(verdict.claim, {})[verdict.dataset] = verdict
    header = ["claim", *datasets, "overall"]
    lines = [_row(header), _row(["---"] * len(header))]
    for claim, found in by_claim.items():
        cells = [_cell(found.get(name)) for name in [*datasets, None]]
        text = next(iter(found.values())).text
        lines.append(_row([f"**{claim}** {text}", *cells[:-1], f"**{cells[-1]}**"]))
    lines += [
        "",
        "Under each verdict stand the numbers that decided it: with two seeds or more ± the "
        "half-width of the 95% interval, in brackets the number of seeds. The sections say what "
        "they are differences of.",
        "",
        CLEARLY.strip("()"),
        "",
        MARGINS_SOURCE,
        "",
        f"Overall: {OVERALL}",
    ]
    for claim, found in by_claim.items():
        lines += ["", *_section(claim, found)]
    return "\n".join(lines) + "\n"


def _section(claim: str, found: dict[str | None, Verdict]) -> list[str]:
    each = {name: verdict for name, verdict in found.items() if name is not None}
    lines = [f"### {claim}: {found[None].verdict}" if None in found else f"### {claim}", ""]
    for rule in dict.fromkeys(verdict.rule for verdict in each.values()):
        lines += [rule.removesuffix(CLEARLY).strip(), ""]
    reasons: dict[str, list[str]] = {}
    for name, verdict in each.items():
        reasons.setdefault(f"{verdict.verdict}. {verdict.reason}", []).append(name)
    return lines + [f"- {', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _cell(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    if verdict.dataset is not None and not verdict.asked:
        return "undecided<br>(not measured)"
    return verdict.verdict + (f"<br>{verdict.headline}" if verdict.headline else "")


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
