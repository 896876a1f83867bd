"""The figures: what draws each of them, what it shows, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass

from tausweep.storage.layout import File

FEWEST_SIZES = 3
"""Fewest sizes of hard set that a figure is drawn of."""


@dataclass(frozen=True)
class FigureEntry:
    """One figure.

    Attributes:
        function: The function that draws it, ``<module of this package>.<function>``.
        title: Its name, with the paper's number if it has one.
        text: What it shows, in words.
        needs: Files of a run that it reads in addition to the records.
        seeds: Whether it shows means over seeds with intervals.
        of_uniformity: Whether its published values depend on uniformity's t.
        along: Whether only a study with ``evaluate_at`` has its measures.
        of_classes: Whether ``tausweep classes`` makes its measures, and draws it.
        of_sizes: Whether only a study with several sizes of hard set has it.
    """

    function: str
    title: str
    text: str
    needs: tuple[str, ...] = ()
    seeds: bool = True
    of_uniformity: bool = False
    along: bool = False
    of_classes: bool = False
    of_sizes: bool = False


_LIMITS = (
    "Logarithmic temperature axis, ticks at the measured temperatures; ∞ and 0⁺ mark losses that "
    "are limits of the contrastive ones in temperature, up to a scale (Eq. 6, 7)."
)
_UNIFORMITY = (
    "Uniformity −log E exp(−{t:g}‖f(x) − f(y)‖²) of the test embeddings over distinct pairs "
    "(higher is more uniform) against temperature, "
)
_TOLERANCE = (
    "Tolerance, the mean similarity of test embeddings of the same class over distinct pairs, "
    "against temperature, "
)

FIGURES: dict[str, FigureEntry] = {
    "dilemma": FigureEntry(
        "dilemma.draw",
        "The uniformity–tolerance dilemma",
        "Uniformity against tolerance of the test embeddings. Each line follows one loss over "
        "temperature; numbers are temperatures, bold the most accurate. The faint end of a line "
        "leads to the loss's limit τ → ∞ (simple, hard simple). Fill: linear accuracy at the last "
        "epoch, with a separate scale in each panel; an arrow on the colour bar means that some "
        "points exceed it. Unfilled stars: full-scale accuracy, off a miniature's scale. An ideal "
        "loss would be in the upper right corner, both uniform and tolerant. The uniformity axis "
        "is linear unless its label says −log({ceiling:g} − u), which stretches the range near the "
        "ceiling 2t = {ceiling:g}.",
        of_uniformity=True,
    ),
    "fig2_tsne": FigureEntry(
        "tsne.draw",
        "Fig. 2: t-SNE of the embeddings",
        "t-SNE (scikit-learn, PCA start, perplexity 30, fixed seed) of at most 2,000 test "
        "embeddings, un-augmented, encoder in eval mode, contrastive loss, at the paper's "
        "temperatures 0.07 and 0.2; if the study lacks one, its panel shows the nearest. One "
        "seed (n = 1). Colours and numbers: classes (grey: beyond ten). Distances between clusters "
        "mean little in such a map.",
        needs=(File.EMBEDDINGS,),
        seeds=False,
    ),
    "fig3_penalty": FigureEntry(
        "penalty.draw",
        "Fig. 3: relative penalty and its entropy",
        "Above: relative penalty r(s) from Eq. 5 for similarities spread evenly over [−1, 1], as a "
        "multiple of an equal share; on a logarithmic axis the slope is 1/τ. Below: the entropy of "
        "r relative to its maximum, and the width of the similarity interval, from the nearest "
        "negative down, that carries 90% of the penalty. Dashed: from the formula. Colour: "
        "measured on anchors and banks of contrastive runs (dots: the temperature of training).",
        needs=(File.PENALTY,),
    ),
    "fig4_uniformity": FigureEntry(
        "sweep.uniformity",
        "Fig. 4: uniformity against temperature, contrastive loss",
        f"{_UNIFORMITY}contrastive loss. {_LIMITS}",
        of_uniformity=True,
    ),
    "fig5_tolerance": FigureEntry(
        "sweep.tolerance",
        "Fig. 5: tolerance against temperature, contrastive loss",
        f"{_TOLERANCE}contrastive loss. {_LIMITS}",
    ),
    "fig6_uniformity_hard": FigureEntry(
        "sweep.uniformity_hard",
        "Fig. 6: uniformity against temperature, hard contrastive loss",
        f"{_UNIFORMITY}hard contrastive loss (pale: contrastive loss). {_LIMITS}",
        of_uniformity=True,
    ),
    "fig7_tolerance_hard": FigureEntry(
        "sweep.tolerance_hard",
        "Fig. 7: tolerance against temperature, hard contrastive loss",
        f"{_TOLERANCE}hard contrastive loss (pale: contrastive loss). {_LIMITS}",
    ),
    "fig8_separation": FigureEntry(
        "separation.draw",
        "Fig. 8: positive and ten nearest negatives",
        "Similarity of augmented training images to their own entry of the bank (positive) and to "
        "the ten most similar other entries. Above: means against temperature, from the nearest "
        "(strong) to the tenth (faint), intervals for these two and the positive. Below: "
        "distributions over anchors, all seeds together, each temperature scaled to "
        "its highest bin.",
        needs=(File.SEPARATION,),
    ),
    "fig9_accuracy": FigureEntry(
        "sweep.accuracy",
        "Fig. 9: linear accuracy against temperature",
        "Linear-probe accuracy (1-crop top-1, last epoch; the best epoch is only in the full "
        "table) against temperature, each panel with its own scale. For a scaled-down study, "
        "published values have a separate panel. Grey lines (or numbers, if far off the scale): "
        f"baselines that were not trained by any loss. {_LIMITS}",
    ),
    "hard_set_size": FigureEntry(
        "hard_set.draw",
        "The size of the hard set",
        "Accuracy, uniformity and tolerance against the share of the negatives that the hard "
        "contrastive loss takes, the hardest first (Eq. 9); squares: all of them (contrastive). "
        "Logarithmic. Dotted: the hardest 5%, which were enough for nearly the full accuracy with "
        "MoCo v2 on ImageNet (Cai et al. 2020, arXiv:2010.06682).",
        of_sizes=True,
    ),
    "effective_dimension": FigureEntry(
        "sweep.effective_dimension",
        "Effective dimension against temperature",
        "The dimension d whose uniform distribution on the sphere has the measured uniformity; "
        f"logarithmic. Published values follow from the published uniformity. {_LIMITS}",
        of_uniformity=True,
    ),
    "spectra": FigureEntry(
        "spectra.draw",
        "Singular value spectra",
        "Singular values of the normalised test embeddings, relative to the largest, by rank; "
        "logarithmic, geometric mean over seeds (n in each panel). Beside the contrastive losses: "
        "their limits τ → ∞ (simple, hard simple).",
        needs=(File.GEOMETRY,),
        seeds=False,
    ),
    "training": FigureEntry(
        "training.draw",
        "Training curves",
        "Training loss (above) and similarity of the positive (below), mean over an epoch's steps "
        "and over complete seeds (n in each panel). Losses without a temperature share a panel. "
        "Dotted: where the learning rate falls.",
        needs=(File.HISTORY,),
        seeds=False,
    ),
    "along": FigureEntry(
        "along.draw",
        "Measures along training",
        "kNN accuracy, uniformity, tolerance, and tolerance minus the mean similarity of different "
        "classes, of the test embeddings after the marked epochs: means over seeds (lines) and "
        "single seeds (points). A measure that still changes between the last two epochs has not "
        "settled; the last epoch is the end of training, which all other figures show. Losses "
        "without a temperature share a panel.",
        seeds=False,
        along=True,
    ),
    "penalty_by_class": FigureEntry(
        "classes.draw_penalty",
        "Whom the penalty falls on",
        "Above: the share of the relative penalty r (Eq. 5) that falls on negatives of the "
        "anchor's own class, by the temperature in r, on the embeddings and banks of contrastive "
        "runs (anchors: un-augmented training images). Below, at each run's own temperature: how "
        "many of the negatives of a similarity are of the anchor's class (bins of 0.05 with 100 "
        "negatives or more), and how much of the penalty is there. A low temperature pushes the "
        "own class away as far as its penalty is where that class is.",
        of_classes=True,
    ),
    "tolerance_by_class": FigureEntry(
        "classes.draw_tolerance",
        "Tolerance of each class",
        "Mean similarity of test embeddings of the same class over distinct pairs, for each class "
        "(thin, means over seeds; the lowest and the highest are named) and over all of them, "
        "against temperature.",
        seeds=False,
        of_classes=True,
    ),
}
OF_CLASSES = tuple(name for name, entry in FIGURES.items() if entry.of_classes)
"""The figures that `tausweep classes` draws."""
NAMES = tuple(name for name in FIGURES if name not in OF_CLASSES)
"""All others, in the order of the report."""
