"""Text for LaTeX: ASCII without a bare special character, which compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tausweep.report import tables
from tausweep.report.tables.latex_text import LATEX_MARKS, escape_latex
from tausweep.results import published


def test_latex_escapes_what_is_special() -> None:
    assert escape_latex(r"a_b & 5% #1 {x} $y$ ~^\<>|") == (
        r"a\_b \& 5\% \#1 \{x\} \$y\$ \textasciitilde{}\textasciicircum{}\textbackslash{}"
        r"\textless{}\textgreater{}\textbar{}"
    )
    assert escape_latex("τ → ∞ ± − 漢") == r"$\tau$ $\to$ $\infty$ $\pm$ $-$ U+6F22"
    assert escape_latex("16 × 16, ² ⁺ ½ é i\u0308 ς") == (
        r"16 $\times$ 16, $^{2}$ $^{+}$ 1/2 \'{e} \"{\i} U+03C2"
    )


COMMAND = re.compile(
    r"\\[&%$#_{}]"  # a special character
    r"|\\[a-zA-Z]+\{\}"  # a letter or sign by its name
    r"|\\(?:[`'^~\"=.]|[uvHrcd] )\{(?:[A-Za-z]|\\[ij])\}"  # an accent over a letter
    r"|\$(?:[-+=()\d]|\\[a-zA-Z]+|[\^_]\{(?:[\w+=()-]|\\circ|\\[a-z]+)+\})\$"
)


@given(st.text())
def test_escaped_latex_is_ascii_without_a_bare_special_character(text: str) -> None:
    escaped = escape_latex(text)
    assert escaped.isascii()
    assert escaped.isprintable()
    assert not set("&%$#_{}~^\\|<>") & set(COMMAND.sub("", escaped))


def test_no_sign_that_the_package_itself_writes_lacks_its_latex() -> None:
    """Nothing of ours is printed as a number of Unicode, in any table that this code can make."""
    sources = Path(tables.__file__).parents[1].rglob("*.py")
    written = {c for path in sources for c in path.read_text(encoding="utf-8")}
    assert {"×", "τ", "±", "†"} <= written
    assert not [c for c in written if c.isprintable() and "U+" in escape_latex(c)]


def test_latex_compiles(broken: pd.DataFrame, tmp_path: Path) -> None:
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("pdflatex is not installed; Debian has it in texlive-latex-recommended")
    awkward = r"50% of {all} $x_1$ & ~^\ – “é” τ → ∞, 16 × 16 漢" + "\n\nß ï ő"
    every = " ".join([*map(chr, range(32, 0x460)), *LATEX_MARKS])
    for name, make in (("a", tables.table1), ("b", tables.full)):
        text = make(broken, published.records(), scaled_down=awkward).text("tex")
        (tmp_path / f"{name}.tex").write_text(text, encoding="utf-8")
    (tmp_path / "doc.tex").write_text(
        "\\documentclass{article}\n\\usepackage[margin=2cm]{geometry}\n"
        "\\usepackage{booktabs,graphicx,longtable}\n"
        "\\begin{document}\n\\input{a}\n\\input{b}\n\\sloppy\n"
        f"{escape_latex(every)}\n\\end{{document}}\n"
    )
    command = [compiler, "-interaction=nonstopmode", "-halt-on-error", "doc.tex"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace"
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "doc.log").read_text(errors="replace")
    assert (tmp_path / "doc.pdf").stat().st_size > 10_000
    assert "Overfull" not in done.stdout
