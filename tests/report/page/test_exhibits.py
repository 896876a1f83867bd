"""Tables and figures stand in the page, and those that are not made are named."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from report_page import make_exhibits, page_of, records_of, study_of, text_of
from tausweep.report import figures


def test_every_figure_is_embedded_with_caption_and_text_alternative(complete: str) -> None:
    sources = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)">', complete)
    # Nothing of this study is measured along the training.
    expected = [name for name in figures.NAMES if name != "along"]
    assert len(sources) == len(expected)
    for name, (encoded, alt) in zip(expected, sources, strict=True):
        assert f"<text>{name}</text>" in base64.b64decode(encoded).decode()
        assert alt.startswith(figures.FIGURES[name].title.replace("'", "&#39;"))
    frame = records_of(study_of())
    cell = frame[(frame["loss"] == "contrastive") & (frame["temperature"] == 0.07)]
    assert (
        f"from {cell['uniformity'].mean():.4g} at τ = 0.07"
        in complete.replace("contrastive: ", "from ", 1)
        or f"{cell['uniformity'].mean():.4g} at τ = 0.07" in complete
    )


def test_tables_and_figures_that_are_not_made_are_named(tmp_path: Path) -> None:
    study = study_of()
    frame = records_of(study)
    make_exhibits(tmp_path / "synthetic", frame)
    (tmp_path / "synthetic/tables/table1.html").unlink()
    (tmp_path / "synthetic/figures/training.svg").unlink()
    text = text_of(page_of(study, frame, tmp_path))
    assert "Not made yet: Table 1; Training curves." in text
    assert "This figure has not been made yet." in text


def test_figures_that_few_studies_have_are_shown_where_they_were_drawn(tmp_path: Path) -> None:
    study = study_of()
    frame = records_of(study)
    make_exhibits(tmp_path / "synthetic", frame)
    titles = {name: figures.FIGURES[name].title for name in ("hard_set_size", "penalty_by_class")}
    drawn = tmp_path / "synthetic/figures"
    assert (drawn / "hard_set_size.svg").is_file()
    text = text_of(page_of(study, frame, tmp_path))
    assert titles["hard_set_size"] in text
    assert titles["penalty_by_class"] not in text
    (drawn / "hard_set_size.svg").rename(drawn / "penalty_by_class.svg")
    text = text_of(page_of(study, frame, tmp_path))
    assert titles["hard_set_size"] not in text
    assert titles["penalty_by_class"] in text
    assert "Not made yet" not in text
