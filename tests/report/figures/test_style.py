"""Sizes, and a look for each loss."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tausweep.report import figures
from tausweep.report.figures import StudyResults
from tausweep.report.figures.style import LOSS_STYLES, Style, loss_style
from tausweep.study import StudyError


def test_each_loss_has_its_own_colour_marker_and_line() -> None:
    for part in range(3):
        assert len({repr(look[part]) for look in LOSS_STYLES.values()}) == len(LOSS_STYLES)
    study = [*LOSS_STYLES, "decoupled", "hcl", "cosine_tau"]
    assert len({loss_style(loss, study).colour for loss in study}) == len(study)


def test_style_takes_known_positive_numbers_only(complete: StudyResults, tmp_path: Path) -> None:
    figures.draw("fig4_uniformity", complete, [tmp_path / "x.png"], {"width": 4, "dpi": 50})
    with Image.open(tmp_path / "x.png") as image:
        assert image.width == 200
    for bad, words in (
        ({"widht": 4}, "widht: unknown key; did you mean width"),
        ({"dpi": 0}, "dpi: 0 is not allowed"),
        ({"font_size": True}, "font_size: true is not allowed"),
        ({"band_opacity": 2}, "band_opacity: 2 is not allowed"),
    ):
        with pytest.raises(StudyError, match=words):
            Style.of(bad)
