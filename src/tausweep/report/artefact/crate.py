"""The RO-Crate of an exported study: what ran, with which code, on what machine, and what came out.

Profile: Provenance Run Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5), a Workflow Run Crate
that describes every step as well. Everything in it is in the records: nothing is guessed, so there
is no author, licence or engine run unless somebody says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from tausweep import __version__
from tausweep.report.artefact import provenance
from tausweep.report.artefact.people import Person
from tausweep.storage.layout import File, Folder
from tausweep.study import Study

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

METADATA = "ro-crate-metadata.json"
WORKFLOW = "workflow/Snakefile"
CROISSANT = "croissant.json"

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
"""Terms that RO-Crate 1.1 lacks, written out so that a reader needs no second context."""

FORMATS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".rst": "text/x-rst",
    ".safetensors": "application/octet-stream",
    ".smk": "text/x-python",
    ".svg": "image/svg+xml",
    ".tex": "application/x-tex",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}

NOT_STATED = {
    "@type": "CreativeWork",
    "name": "No licence stated",
    "description": "Whoever exported these results has not said under which licence they are; ask "
    "before you use them. The software itself is under the MIT licence.",
}


@dataclass(frozen=True)
class ExportedFile:
    """A file of an export.

    Attributes:
        size: Bytes.
        sha256: Hexadecimal.
    """

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> ExportedFile:
        """A file with this content."""
        return cls(len(data), hashlib.sha256(data).hexdigest())


def crate(
    study: Study,
    files: Mapping[str, ExportedFile],
    made: Mapping[str, Mapping[str, Any]],
    *,
    published: str,
    authors: Sequence[Person] = (),
    licence: str | None = None,
) -> dict[str, Any]:
    """The content of ``ro-crate-metadata.json``.

    Args:
        study: The study.
        files: The files of the export by path, this one and the list of contents excepted.
        made: The record of each run that has one, by the run's id.
        published: The day in ISO 8601.
        authors: Who answers for the results.
        licence: SPDX identifier of the licence of the results.
    """
    from rocrate.rocrate import ROCrate

    found = ROCrate(version="1.1")
    found.metadata.extra_terms.update(TERMS)
    _describe_root(found, study, made, published, authors, licence)
    for name, file in files.items():
        properties = _of_file(study, name, file)
        if name == WORKFLOW:
            found.add_workflow(dest_path=name, main=True, lang="snakemake", properties=properties)
        else:
            found.add_file(dest_path=name, properties=properties)
    _describe_workflow(found, study, files)
    provenance.add_runs(found, study, files, made, authors)
    generated: dict[str, Any] = found.metadata.generate()
    entities = sorted(generated["@graph"], key=lambda entity: str(entity["@id"]))
    return generated | {"@graph": [_compact(entity) for entity in entities]}


def _compact(entity: Mapping[str, Any]) -> dict[str, Any]:
    """An entity whose lists of one value are that value, as RO-Crate asks for."""
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in entity.items()
        if value != []
    }


def _describe_root(
    crate: ROCrate,
    study: Study,
    made: Mapping[str, Any],
    published: str,
    authors: Sequence[Person],
    licence: str | None,
) -> None:
    from rocrate.model.contextentity import ContextEntity

    crate.name = f"{study.study}: a tausweep study"
    crate.description = (
        f"{len(made)} runs of the study {study.study}: contrastive pretraining at several "
        "temperatures, its evaluation, tables, figures and verdicts on the claims of Wang & Liu, "
        "Understanding the Behaviour of Contrastive Loss (CVPR 2021). Made by tausweep "
        f"{__version__}; `tausweep verify` checks it."
    )
    crate.datePublished = published
    for profile, name in PROFILES.items():
        version = profile.rpartition("/")[2]
        crate.add(
            ContextEntity(
                crate,
                profile,
                properties={"@type": "CreativeWork", "name": name, "version": version},
            )
        )
    crate.root_dataset["conformsTo"] = [{"@id": profile} for profile in PROFILES]
    if licence is None:
        stated = ContextEntity(crate, "#licence-not-stated", properties=NOT_STATED)
    else:
        stated = ContextEntity(
            crate,
            f"https://spdx.org/licenses/{licence}",
            properties={"@type": "CreativeWork", "name": licence, "description": "SPDX licence"},
        )
    crate.license = crate.add(stated)
    if authors:
        crate.root_dataset["author"] = [
            crate.add(ContextEntity(crate, person.id, properties=person.entity()))
            for person in authors
        ]


def _of_file(study: Study, name: str, file: ExportedFile) -> dict[str, Any]:
    path = PurePosixPath(name)
    described: dict[str, Any] = {
        "name": path.name,
        "contentSize": str(file.size),
        "sha256": file.sha256,
        "encodingFormat": FORMATS.get(path.suffix, "text/plain"),
    }
    if name == "README.md":
        described["about"] = {"@id": "./"}
    if path.name == CROISSANT:
        described["conformsTo"] = {"@id": "http://mlcommons.org/croissant/1.0"}
    if name == WORKFLOW:
        described |= {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "From a study file to the paper's tables, figures and verdicts",
            "version": __version__,
            "conformsTo": {
                "@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
            },
        }
    return described


PARAMETERS = (
    ("input", "study", "The study: datasets, losses, temperatures, seeds, settings", File.STUDY),
    ("output", "records", "One row per run: accuracies, geometry, digests", File.RECORDS),
    ("output", "claims", "A verdict on each claim of the paper", File.CLAIMS_JSON),
    ("output", "report", "Everything on one page", File.REPORT),
)
"""Inputs and outputs of the workflow that are one file: direction, name, text, file."""


def _describe_workflow(crate: ROCrate, study: Study, files: Mapping[str, ExportedFile]) -> None:
    """Add the workflow's inputs and outputs, and join them with the files."""
    from rocrate.model.contextentity import ContextEntity

    workflow = crate.mainEntity
    rows = [(*row[:3], [f"{study.study}/{row[3]}"]) for row in PARAMETERS]
    manifests = [name for name in files if name.startswith(f"{Folder.DATA}/")]
    manifests = [name for name in manifests if name.endswith(File.MANIFEST)]
    rows.append(("input", "data", "Prepared data, by the digests of their files", manifests))
    for direction, name, text, examples in rows:
        examples = [example for example in examples if example in files]
        if not examples:
            continue
        parameter = crate.add(
            ContextEntity(
                crate,
                f"#parameter-{name}",
                properties={
                    "@type": "FormalParameter",
                    "additionalType": "File",
                    "name": name,
                    "description": text,
                    "workExample": [{"@id": example} for example in examples],
                },
            )
        )
        workflow.append_to(direction, parameter)
        for example in examples:
            crate.dereference(example).append_to("exampleOfWork", parameter)
