"""Which temperature for these images: the answer on one self-contained page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from tausweep import __version__
from tausweep.results.choice import NAMES


def page(found: Mapping[str, Any], table: Sequence[Sequence[str]]) -> str:
    """HTML with the answer, the table and the picture; it needs no network and no scripts.

    Args:
        found: The JSON document of the answer.
        table: Rows of text, the first with the headings.
    """
    recipe, counts = found["recipe"], found["counts"]
    context = {
        "version": __version__,
        "found": found,
        "table": table,
        "picture": picture(found),
        "recipe": (
            f"{recipe['trunk']} of width {recipe['width']}, images of {recipe['image_size']} "
            f"pixels, batches of {recipe['batch_size']}, learning rate {recipe['lr']:g}"
        ),
        "images": (
            f"{counts['train']:,} training and {counts['test']:,} test images, "
            + (f"{counts['classes']} classes" if counts["classes"] else "no labels")
        ),
    }
    return _templates().get_template("choice.html.j2").render(context)


def picture(found: Mapping[str, Any]) -> str | None:
    """Accuracy against temperature with intervals and baselines; without labels the measures.

    Returns:
        An SVG; none if too few runs ended.
    """
    rows = found["temperatures"]
    if not rows:
        return None
    from matplotlib.figure import Figure

    from tausweep.report.figures.style import INK, MUTED, Style, loss_style

    style, look = Style.of(None), loss_style("contrastive")
    taus = [row["temperature"] for row in rows]
    with style.applied():
        labelled = "accuracy" in rows[0]
        figure = Figure(figsize=(7.2, 3.6 if labelled else 2.6), layout="constrained")
        if labelled:
            axes = figure.subplots()
            mean = [row["accuracy"] for row in rows]
            low = [row["accuracy"] - row["low"] for row in rows]
            high = [row["high"] - row["accuracy"] for row in rows]
            if found["within_noise"]:
                ends = found["within_noise"]
                axes.axvspan(ends[0] / 1.06, ends[-1] * 1.06, color=look.colour, alpha=0.12, lw=0)
            axes.errorbar(
                taus, mean, [low, high], color=look.colour, marker=look.marker, capsize=3,
                label="end of training, 95% interval",
            )  # fmt: skip
            if found["along"]:
                places = [row["temperature"] for row in found["along"]]
                half = [row["half"] for row in found["along"]]
                axes.plot(places, half, color=MUTED, marker="o", label="half-way, short probe")
            for gain, line in zip(found["baselines"], ("--", ":"), strict=False):
                name = NAMES[gain["baseline"]]
                axes.axhline(gain["accuracy"], color=INK, linestyle=line, lw=0.9, label=name)
            axes.set_ylabel("linear accuracy (%)")
            axes.legend()
            every = [axes]
        else:
            every = list(figure.subplots(1, 3))
            for axes, name in zip(every, ("alignment", "uniformity", "rankme"), strict=True):
                axes.plot(taus, [row[name] for row in rows], color=look.colour, marker=look.marker)
                axes.set_title({"rankme": "RankMe"}.get(name, name.capitalize()))
        for axes in every:
            axes.set_xscale("log")
            axes.set_xticks(taus, [f"{tau:g}" for tau in taus])
            axes.minorticks_off()
            axes.set_xlabel("temperature")
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


@cache
def _templates() -> jinja2.Environment:
    here = Path(__file__)
    return jinja2.Environment(
        # The look of the report of a study.
        loader=jinja2.FileSystemLoader(
            [here.with_name("templates"), here.parents[1] / "page" / "templates"]
        ),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
