"""What was measured on an encoder, as one self-contained page."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

from tausweep import __version__
from tausweep.report import quality as text
from tausweep.report.quality import plane


def page(measurement: text.Measurement) -> str:
    """HTML with the numbers, the flags and the picture; it needs no network and no scripts."""
    context = {
        "version": __version__,
        "title": " and ".join(quality.name for quality in measurement.inputs),
        "inputs": [
            {
                "heading": text.heading(quality),
                "rows": text.rows(quality),
                "notes": text.notes(quality),
                "flags": [flag.sentence for flag in quality.flags],
            }
            for quality in measurement.inputs
        ],
        "names": [quality.name for quality in measurement.inputs],
        "differences": text.difference_rows(measurement) if measurement.differences else [],
        "picture": plane.picture(measurement.inputs),
        "caveat": plane.CAVEAT,
    }
    return _templates().get_template("quality.html.j2").render(context)


@cache
def _templates() -> jinja2.Environment:
    here = Path(__file__)
    return jinja2.Environment(
        # The same look as a study's report.
        loader=jinja2.FileSystemLoader(
            [here.with_name("templates"), here.parents[1] / "page" / "templates"]
        ),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
