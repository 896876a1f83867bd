"""Settings of the look of figures."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tausweep.study.fields import Positive, Settings


class FigureSettings(Settings):
    """The look of figures; it affects no number (see ``tausweep.report.figures``).

    Attributes:
        width: Width of a figure in inches; 5.2 keeps 9-point text readable at 390 pixels and in
            print.
        panel_height: Height of a row of panels in inches.
        font_size: Size of text in points; ``line_width`` and ``marker_size`` are in points too.
        band_opacity: Opacity of an interval's band.
        dpi: Dots per inch of the PNG.
    """

    width: Positive = 5.2
    panel_height: Positive = 2.1
    font_size: Positive = 9.0
    line_width: Positive = 1.4
    marker_size: Positive = 4.5
    band_opacity: Annotated[Positive, Field(le=1)] = 0.18
    dpi: Positive = 200.0
