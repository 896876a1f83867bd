"""Validate an export by the RO-Crate community's own validator, without network.

Run by ``make test-crate`` with an environment of its own, because roc-validator needs an older rich
than the linters. roc-validator brings the profiles with it, but would download the JSON-LD context
of RO-Crate 1.1; this gives it the copy that the package rocrate 0.10 has.

    python tests/crate_validator.py FOLDER

Ends with 1 if a requirement (MUST) is not met. Recommendations that are not met are listed.
"""

from __future__ import annotations

import importlib.resources
import json
import sys
from collections import Counter
from typing import Any

import requests
from rocrate_validator import services
from rocrate_validator.models import Severity
from rocrate_validator.utils.http import HttpRequester

PROFILE = "provenance-run-crate"
CONTEXT = "https://w3id.org/ro/crate/1.1/context"


def bundled_context() -> bytes:
    """The context, as the package rocrate has it."""
    content = (importlib.resources.files("rocrate") / "data/ro-crate.jsonld").read_bytes()
    assert json.loads(content)["@id"] == CONTEXT
    return content


def serve(_requester: HttpRequester, url: str, **_options: Any) -> requests.Response:
    """Answer a request for the context, and no other."""
    response = requests.Response()
    response.url, response.status_code = url, 404
    if url == CONTEXT:
        response.status_code = 200
        response._content = bundled_context()
        response.headers["Content-Type"] = "application/ld+json"
    return response


def main(folder: str) -> int:
    """Validate a folder; returns the exit code."""
    HttpRequester.get = serve
    settings = services.ValidationSettings(
        rocrate_uri=folder,
        profile_identifier=PROFILE,
        requirement_severity=Severity.RECOMMENDED,
        skip_availability_check=True,
    )
    found = services.validate(settings)
    issues = found.get_issues()
    counted = Counter((i.severity.name, i.check.identifier, str(i.message)) for i in issues)
    for (severity, check, message), count in sorted(counted.items()):
        print(f"{severity.lower():12} {check}  {message} ({count})")
    failed = sum(issue.severity is Severity.REQUIRED for issue in issues)
    checks = len(found.executed_checks)
    print(f"{folder}: {PROFILE}, {checks} checks: {failed} requirements are not met")
    return 1 if failed or not checks else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
