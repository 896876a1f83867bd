"""Escape text for LaTeX, in ASCII only, so that it compiles with any engine and encoding."""

from __future__ import annotations

import unicodedata
from functools import cache

LATEX_MARKS = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "·": r"$\cdot$",
    "−": r"$-$",
    "→": r"$\to$",
    "↗": r"$\nearrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "√": r"$\surd$",
    "‖": r"$\Vert$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "§": r"\S{}",
    "°": r"$^{\circ}$",
    "⁄": "/",
    "—": "---",
    "–": "--",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
}
"""LaTeX for characters that need escaping."""

ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": "`",
    "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
    "\N{COMBINING TILDE}": "~",
    "\N{COMBINING DIAERESIS}": '"',
    "\N{COMBINING MACRON}": "=",
    "\N{COMBINING DOT ABOVE}": ".",
    "\N{COMBINING BREVE}": "u ",
    "\N{COMBINING CARON}": "v ",
    "\N{COMBINING DOUBLE ACUTE ACCENT}": "H ",
    "\N{COMBINING RING ABOVE}": "r ",
    "\N{COMBINING CEDILLA}": "c ",
    "\N{COMBINING DOT BELOW}": "d ",
}

GREEK = {
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"),
    *("lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi"),
    *("omega",),
}
GREEK_CAPITALS = {
    *("gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega"),
}


def escape_latex(text: str) -> str:
    """Escape text for LaTeX; a letter without a command becomes its number, such as U+6F22."""
    return "".join(map(_escaped, unicodedata.normalize("NFC", text)))


@cache
def _escaped(character: str) -> str:
    if character in LATEX_MARKS:
        return LATEX_MARKS[character]
    # An empty line would end a caption.
    if character.isspace():
        return " "
    if character.isascii() and character.isprintable():
        return character
    return _greek(character) or _decomposed(character) or f"U+{ord(character):04X}"


def _greek(character: str) -> str:
    name = unicodedata.name(character, "").lower()
    for case, letters in (("small", GREEK), ("capital", GREEK_CAPITALS)):
        letter = name.removeprefix(f"greek {case} letter ").replace("lamda", "lambda")
        if letter in letters and letter != name:
            return rf"$\{letter.capitalize() if case == 'capital' else letter}$"
    return ""


def _decomposed(character: str) -> str:
    """Compose a character from an accent and a letter, a super- or subscript, or equivalents."""
    kind, *codes = unicodedata.decomposition(character).split() or [""]
    if kind and not kind.startswith("<"):
        kind, codes = "", [kind, *codes]
    parts = [chr(int(code, 16)) for code in codes]
    if not parts:
        return ""
    if not kind and len(parts) == 2 and parts[1] in ACCENTS:
        # Accents go over an i without its dot. LaTeX cannot stack two accents well.
        letter = rf"\{parts[0]}" if parts[0] in ("i", "j") else parts[0]
        return rf"\{ACCENTS[parts[1]]}{{{letter}}}" if parts[0].isascii() else ""
    plain = "".join(map(_escaped, parts))
    if "U+" in plain:
        return ""
    if kind in ("<super>", "<sub>"):
        raised = "^" if kind == "<super>" else "_"
        return f"${raised}{{{plain.replace('$', '')}}}$"
    return plain
