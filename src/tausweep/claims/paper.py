"""The paper's claims C1 to C17 as a list: statement, what is read, rule and preconditions.

Claims are of two kinds. A *finding* could have come out otherwise. An *identity* holds by algebra:
random vectors pass it, so it checks the implementation. The two are counted apart.

To add a claim, call ``claim`` with its rule in words and the function of ``tausweep.claims.rules``
that applies it. docs/claims.md registers all rules; ``judging.rules_digest`` shows any change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tausweep.claims import preconditions, rules
from tausweep.claims.columns import gap_to_nearest_negatives
from tausweep.claims.comparisons import RANK
from tausweep.claims.evidence import PAPER_RANGE
from tausweep.claims.preconditions import SETTLED, Need
from tausweep.claims.rules import COMPETITIVE, FAR, IDENTITY_ERROR, LIMIT, SHARE, SMALLEST, STABLE
from tausweep.claims.verdicts import Claim

CLAIMS: dict[str, Claim] = {}
"""All claims by id, in the order of the paper's list."""


def claim(
    id: str,
    text: str,
    *,
    reads: str,
    rule: str,
    judge: rules.Rule,
    needs: Sequence[Need] = (),
    kind: Literal["finding", "identity"] = "finding",
) -> Claim:
    """Add a claim to ``CLAIMS``.

    Args:
        id: A new id.
        text: What is claimed.
        reads: What is read to judge it, and where the paper shows it.
        rule: What ``judge`` does, in words. ``verdicts.CLEARLY`` explains "clearly".
        judge: The rule as a function from a dataset's evidence to a finding.
        needs: What must hold before the claim is tested.
        kind: Whether it could come out otherwise.

    Raises:
        ValueError: There already is a claim with this id.
    """
    if id in CLAIMS:
        raise ValueError(f"claim {id} is registered twice")
    CLAIMS[id] = Claim(id, text, reads, rule, judge, tuple(needs), kind)
    return CLAIMS[id]


TREND = (
    f"Over temperatures above {SMALLEST:g}; three are needed. Supported: (a) {{what}} is clearly "
    "{higher} at the highest temperature than at the lowest; (b) between neighbouring temperatures "
    "the mean never moves the other way by the noise margin or more; and (c) Spearman's rank "
    "correlation between tau and the mean curve has the claimed sign and a size of at least "
    f"{RANK:g}. Contradicted: (a), (b) and (c) all hold in the opposite direction."
)

MOSTLY = (
    f"Over temperatures above {SMALLEST:g} that both losses have; two are needed. Supported: the "
    "difference clearly has the claimed sign at more than half of them, and clearly the opposite "
    "sign at none. Contradicted: the reverse."
)

SHARES = (
    "A share is a fraction of the accuracy range from the untrained encoder to the best cell; the "
    f"range counts as {PAPER_RANGE:g} points if the study has no untrained encoder."
)

RUNS = (
    "Undecided if a complete run lacks the number, or if fewer than half of the runs are complete; "
    "if not all runs are complete, the reason says how many were judged."
)

LEARNT = preconditions.learnt("contrastive")
HARD_LEARNT = preconditions.learnt("hard_contrastive")
CENTRED = preconditions.centred(["contrastive"], SMALLEST)
BOTH_CENTRED = preconditions.centred(["contrastive", "hard_contrastive"], SMALLEST)
GEOMETRY_NEEDS = (LEARNT, CENTRED, SETTLED)
HARD_GEOMETRY_NEEDS = (LEARNT, HARD_LEARNT, BOTH_CENTRED, SETTLED)

claim(
    "C1",
    "contrastive: uniformity falls as tau rises",
    reads="uniformity of contrastive (Fig. 4)",
    rule=TREND.format(what="uniformity", higher="lower"),
    judge=rules.trend_of("contrastive", "uniformity", rising=False),
    needs=GEOMETRY_NEEDS,
)

claim(
    "C2",
    "contrastive: tolerance rises with tau",
    reads="tolerance of contrastive (Fig. 5)",
    rule=TREND.format(what="tolerance", higher="higher")
    + " Tolerance minus the mean similarity between different classes is judged by the same rule "
    "beside it: if that is measured and clearly goes the other way, the claim is undecided.",
    judge=rules.tolerance_rises,
    needs=GEOMETRY_NEEDS,
)

claim(
    "C3",
    "contrastive: accuracy against tau is a reverse U, best at 0.2 or 0.3, worse at 0.07 and 1.0",
    reads="linear accuracy of contrastive (Fig. 9)",
    rule="Both parts must hold. Location: mean accuracy over seeds is highest at 0.2 or 0.3 (or, "
    "if the grid has neither, at the nearest temperatures that it has). Others may be within noise "
    "of the best; the reason names them. Ends: the better of these two is clearly above both 0.07 "
    "and 1.0, so a plateau over the whole grid does not count. Contradicted: another temperature "
    "is clearly better than each of the two. A grid without 0.2 or without 0.3 cannot contradict "
    "the claim; it is then not tested.",
    judge=rules.reverse_u,
    needs=(LEARNT, SETTLED),
)

claim(
    "C4",
    "hard contrastive is more uniform than contrastive at the same tau, and its uniformity varies "
    "far less over tau",
    reads="uniformity of both losses (Fig. 6 against Fig. 4)",
    rule=f"Both parts must hold. More uniform: {MOSTLY} Far less: over the same temperatures, the "
    "spread of hard contrastive (largest minus smallest uniformity, per seed) is clearly below "
    "half of contrastive's; contradicted if it is clearly above contrastive's.",
    judge=rules.hard_is_uniform,
    needs=HARD_GEOMETRY_NEEDS,
)

claim(
    "C5",
    "hard contrastive is less tolerant than contrastive at the same tau",
    reads="tolerance of both losses (Fig. 7 against Fig. 5)",
    rule=MOSTLY,
    judge=rules.hard_against_contrastive("tolerance", lower=True),
    needs=HARD_GEOMETRY_NEEDS,
)

claim(
    "C6",
    "hard contrastive does better at large tau (0.3 to 1.0) than at 0.07, and beats contrastive at "
    "0.7 and 1.0",
    reads="linear accuracy of both losses (Table 1, Fig. 9)",
    rule="All parts must hold. Large tau: hard contrastive's accuracy is clearly above its own at "
    "0.07 at more than half of its temperatures from 0.3 to 1.0, and clearly below at none "
    "(contradicted: the reverse). Beats: it is clearly above contrastive's accuracy at 0.7 and at "
    "1.0 (contradicted: clearly below at either).",
    judge=rules.hard_gains_at_large_tau,
    needs=(LEARNT, HARD_LEARNT, SETTLED),
)

claim(
    "C7",
    "simple is far worse than contrastive at 0.3",
    reads="linear accuracy (Table 1: 8.4 to 27.0 points)",
    rule=f"Supported: contrastive's accuracy at 0.3 is above simple's by clearly more than a share "
    f"of {FAR:g}. Contradicted: it is clearly below simple's. {SHARES}",
    judge=rules.simple_is_far_worse,
    needs=(LEARNT, SETTLED),
)

claim(
    "C8",
    "hard simple is competitive with contrastive at 0.3",
    reads="linear accuracy (Table 1: +1.6 to -0.8 points)",
    rule="Supported: hard simple's accuracy is clearly above contrastive's at 0.3 minus a share of "
    f"{COMPETITIVE:g}. Contradicted: it is clearly below that. {SHARES}",
    judge=rules.hard_simple_competes,
    needs=(LEARNT, SETTLED),
)

claim(
    "C9",
    "the gap between the positive similarity and the nearest negatives widens as tau falls",
    reads="similarities of contrastive (Fig. 8)",
    rule="The gap is the positive similarity minus the mean of the ten largest negative "
    "similarities, for contrastive. " + TREND.format(what="the gap", higher="lower"),
    judge=rules.trend_of("contrastive", gap_to_nearest_negatives, rising=False),
    needs=(
        LEARNT,
        CENTRED,
        preconditions.positive_gap("contrastive", gap_to_nearest_negatives, SMALLEST),
        SETTLED,
    ),
)

claim(
    "C10",
    "the positive similarity comes closer to 1 as tau rises",
    reads="positive similarity of contrastive (Fig. 8)",
    rule=TREND.format(what="contrastive's positive similarity", higher="higher")
    + " How close to 1 it comes is shown, not judged.",
    judge=rules.trend_of("contrastive", "positive_similarity", rising=True),
    needs=GEOMETRY_NEEDS,
)

claim(
    "C11",
    "the negative gradients sum to the positive one; the entropy of the relative penalty rises "
    "with tau",
    reads="penalties of every contrastive run (Eq. 2, 4 and 5)",
    rule="Supported: in every contrastive run, on its own embeddings and bank, the absolute "
    "negative gradients sum to the positive one to within a relative error of "
    f"{IDENTITY_ERROR:g}, and "
    f"the entropy rises with tau for at least {SHARE:.0%} of the anchors. Contradicted: any run "
    f"breaks it. {RUNS}",
    judge=rules.gradients_balance,
    kind="identity",
)

claim(
    "C12a",
    "tau -> 0+ is nearest_negative; tau -> inf is simple",
    reads="limits of the loss in every contrastive run (Eq. 6 and 7)",
    rule="Supported: in every contrastive run both limits of the loss are reached to within a "
    f"relative error of {LIMIT:g}. Contradicted: any run misses either. {RUNS}",
    judge=rules.limits_in_tau,
    kind="identity",
)

claim(
    "C12b",
    "nearest_negative (tau -> 0+) learns nothing useful",
    reads="linear accuracy (Sec. 3.1)",
    rule="Both parts must hold. Far below: contrastive's best temperature is above "
    f"nearest_negative by clearly more than a share of {FAR:g} (contradicted: clearly below it). "
    f"Nothing: nearest_negative is above the better of the two baselines, untrained and "
    f"raw_pixels, by clearly less than a share of {FAR:g}; both baselines are needed "
    f"(contradicted: by clearly more). {SHARES}",
    judge=rules.nearest_negative_is_useless,
    needs=(LEARNT, SETTLED),
)

claim(
    "C13",
    "exchanging instances leaves the loss unchanged (Fig. 1)",
    reads="the loss before and after the exchange in every contrastive run (Fig. 1)",
    rule="Supported: in every contrastive run, on its own embeddings and bank, exchanging "
    "instances together with their augmentations changes the mean loss by at most "
    f"{IDENTITY_ERROR:g}. Contradicted: any run breaks it. {RUNS}",
    judge=rules.identity_of("exchange_difference", 0, IDENTITY_ERROR),
    kind="identity",
)

claim(
    "C14",
    "extremely small temperatures degrade accuracy heavily",
    reads="linear accuracy of contrastive (the author's sweep: 76.10 at 0.05, 83.78 at 0.2)",
    rule=f"Reads contrastive at its smallest temperature, which must be at most {SMALLEST:g}. "
    "Supported: the best of the other temperatures is above it by clearly more than a share of "
    f"{FAR:g}. Contradicted: the best of the others is clearly below it. {SHARES}",
    judge=rules.small_tau_degrades,
    needs=(LEARNT, preconditions.few_negatives("contrastive"), SETTLED),
)

claim(
    "C15",
    "hard contrastive lowers similarities between different classes too, not only within a class",
    reads="similarity to the nearest images of other classes, both losses (Sec. 5.4)",
    rule="Compares the similarity of a test image to the ten most similar images of other classes: "
    f"hard contrastive's is below contrastive's at the same tau. {MOSTLY} The plain mean over "
    "different classes is shown, not judged: with a mean embedding near 0 it is about "
    "-tolerance / (classes - 1), which by arithmetic alone is higher for the less tolerant loss.",
    judge=rules.hard_lowers_interclass,
    needs=HARD_GEOMETRY_NEEDS,
)

claim(
    "C16",
    "hard contrastive: a larger tau is more tolerant at stable uniformity",
    reads="tolerance and uniformity of hard contrastive (Fig. 6 and 7)",
    rule="All parts must hold. Tolerant: "
    + TREND.format(what="hard contrastive's tolerance", higher="higher")
    + " Stable: over the temperatures that both losses have, the spread of its uniformity is "
    f"clearly below half of contrastive's, and its mean is at most {STABLE:g}; contradicted if it "
    "is clearly above contrastive's.",
    judge=rules.tolerant_at_stable_uniformity,
    needs=HARD_GEOMETRY_NEEDS,
)

claim(
    "C17",
    "the interval of similarities that gets penalised effectively narrows as tau falls",
    reads="penalties of every contrastive run (Fig. 3)",
    rule="Supported: in every contrastive run, on its own embeddings and bank, the interval that "
    f"carries 90% of the penalty narrows as tau falls for at least {SHARE:.0%} of the anchors. "
    f"Contradicted: any run breaks it. {RUNS}",
    judge=rules.identity_of("interval_narrows", 1, 1 - SHARE),
    kind="identity",
)
