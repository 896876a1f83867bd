"""Names and ORCIDs as a user types them."""

from __future__ import annotations

import pytest

from tausweep.report.artefact.people import Person


@pytest.mark.parametrize(
    ("typed", "name", "orcid"),
    [
        ("Ada Lovelace", "Ada Lovelace", None),
        # ORCID's own example, with either check digit, and with the address in front.
        ("Josiah Carberry <0000-0002-1825-0097>", "Josiah Carberry", "0000-0002-1825-0097"),
        ("S. H. <https://orcid.org/0000-0002-1694-233X>", "S. H.", "0000-0002-1694-233X"),
    ],
)
def test_a_person_is_a_name_with_or_without_orcid(typed: str, name: str, orcid: str | None) -> None:
    found = Person.parse(typed)
    assert (found.name, found.orcid) == (name, orcid)
    assert found.id == (f"https://orcid.org/{orcid}" if orcid else "#Ada%20Lovelace")
    assert found.entity() == {"@type": "Person", "name": name}


@pytest.mark.parametrize(
    "typed", ["", "<0000-0002-1825-0097>", "A <0000-0002-1825-0098>", "A <1825>", "A <"]
)
def test_what_is_neither_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r"not allowed|is not an ORCID"):
        Person.parse(typed)
