"""People in metadata, as a user names them on the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

ORCID = "https://orcid.org/"
_GIVEN = re.compile(rf"(?P<name>[^<>]+?)\s*(<(?:{ORCID})?(?P<orcid>[^<>]*)>)?")


@dataclass(frozen=True)
class Person:
    """Somebody who answers for results.

    Attributes:
        name: The whole name.
        orcid: The plain identifier, ``0000-0002-1825-0097``; none if not given.
    """

    name: str
    orcid: str | None = None

    @classmethod
    def parse(cls, text: str) -> Person:
        """Read ``NAME`` or ``NAME <ORCID>``.

        Raises:
            ValueError: It is neither, or the ORCID's check digit is wrong.
        """
        found = _GIVEN.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text} is not allowed; it should be NAME or 'NAME <ORCID>'")
        orcid = found["orcid"]
        if orcid is not None and not _is_orcid(orcid):
            raise ValueError(f"{orcid} is not an ORCID: its digits or its check digit are wrong")
        return cls(found["name"], orcid)

    @property
    def id(self) -> str:
        """Identifier in an RO-Crate."""
        return f"{ORCID}{self.orcid}" if self.orcid else f"#{quote(self.name)}"

    def entity(self) -> dict[str, Any]:
        """Properties in an RO-Crate."""
        return {"@type": "Person", "name": self.name}


def _is_orcid(text: str) -> bool:
    """Whether the last character is the check digit of ISO 7064 MOD 11-2."""
    if not re.fullmatch(r"(\d{4}-){3}\d{3}[\dX]", text):
        return False
    total = 0
    for digit in text.replace("-", "")[:-1]:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    return text[-1] == ("X" if check == 10 else str(check))
