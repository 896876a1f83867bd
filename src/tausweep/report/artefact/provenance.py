"""The runs of an RO-Crate: every pretraining and evaluation, from the study's records.

A record says when a stage ran, by which command, code, packages and machine. It does not say which
Snakemake or ``tausweep fill`` started it, so the crate has no ``OrganizeAction``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tausweep.storage.layout import File, Folder, prepared_name
from tausweep.study import Study

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

    from tausweep.report.artefact.crate import ExportedFile
    from tausweep.report.artefact.people import Person

STAGES = {"pretrain": "Pretraining", "evaluate": "Evaluation"}
OF_PRETRAINING = (File.ENCODER, File.HISTORY, File.PRETRAIN, File.SETTINGS)
COMPLETED = "http://schema.org/CompletedActionStatus"
FAILED = "http://schema.org/FailedActionStatus"
PYPI = "https://pypi.org/project"


def add_runs(
    crate: ROCrate,
    study: Study,
    files: Mapping[str, ExportedFile],
    made: Mapping[str, Mapping[str, Any]],
    authors: Sequence[Person],
) -> None:
    """Add an action for each stage of each run, and one for the whole study.

    Args:
        crate: The crate, with its files and its workflow.
        study: The study.
        files: The files by path.
        made: The record of each run that has one, by the run's id.
        authors: Who answers for the results.
    """
    parts = _Parts(crate)
    agents = [{"@id": person.id} for person in authors]
    actions = []
    times: list[str] = []
    for run in study.runs():
        content = made.get(run.id, {})
        folder = f"{study.study}/{Folder.RUNS}/{run.id}/"
        inside = [name for name in files if name.startswith(folder)]
        manifest = f"{Folder.DATA}/{prepared_name(run.settings.dataset)}/{File.MANIFEST}"
        given = [name for name in (f"{study.study}/{File.STUDY}", manifest) if name in files]
        for stage in STAGES:
            how = content.get(stage) or {}
            if "started" not in how or "ended" not in how:
                continue
            times += [how["started"], how["ended"]]
            trained = [name for name in inside if name.removeprefix(folder) in OF_PRETRAINING]
            results = trained if stage == "pretrain" else sorted({*inside} - {*trained})
            code = _code(stage, content)
            action: dict[str, Any] = {
                "@type": "CreateAction",
                "name": f"{STAGES[stage]} of {run.id}",
                "description": how.get("command", f"tausweep {stage}"),
                "startTime": how["started"],
                "endTime": how["ended"],
                "instrument": parts.tool(stage, code, how),
                "object": [{"@id": name} for name in given],
                "result": [{"@id": name} for name in results],
                "additionalProperty": parts.machine(how.get("hardware", {})),
                "actionStatus": COMPLETED,
            }
            if agents:
                action["agent"] = agents
            if stage == "pretrain" and how.get("outcome") == "diverged":
                action |= {"actionStatus": FAILED, "error": "diverged: the loss was not finite"}
            actions.append(_add(crate, f"#{run.id}/{stage}", action))
    parts.join_workflow()
    actions.append(_whole_study(crate, study, files, times, agents))
    crate.root_dataset["mentions"] = actions


def _whole_study(
    crate: ROCrate,
    study: Study,
    files: Mapping[str, Any],
    times: Sequence[str],
    agents: Sequence[dict[str, str]],
) -> Any:
    runs = f"{study.study}/{Folder.RUNS}/"
    given = [name for name in files if name.startswith(f"{Folder.DATA}/")]
    given = [name for name in given if name.endswith(File.MANIFEST)]
    study_file = f"{study.study}/{File.STUDY}"
    results = [
        name
        for name in files
        if name.startswith(f"{study.study}/") and not name.startswith(runs) and name != study_file
    ]
    action: dict[str, Any] = {
        "@type": "CreateAction",
        "name": f"The study {study.study}",
        "description": "All runs of the study, from the start of the first to the end of the "
        "last; they may have been made in several sessions and on several machines.",
        "instrument": {"@id": crate.mainEntity["@id"]},
        "object": [{"@id": name} for name in (study_file, *given) if name in files],
        "result": [{"@id": name} for name in results],
        "actionStatus": COMPLETED,
    }
    if times:
        action |= {"startTime": min(times), "endTime": max(times)}
    if agents:
        action["agent"] = list(agents)
    return _add(crate, "#study", action)


def _code(stage: str, content: Mapping[str, Any]) -> str:
    """Digest of the code of a stage; a record has both, joined by a hyphen."""
    both = str(content["columns"].get("code_version", "")).split("-")
    return both[list(STAGES).index(stage)] if len(both) == len(STAGES) else "unknown"


def _add(crate: ROCrate, identifier: str, properties: Mapping[str, Any]) -> Any:
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, identifier, properties=dict(properties)))


class _Parts:
    """What several actions share: tools, packages and machines, one entity for each kind."""

    def __init__(self, crate: ROCrate) -> None:
        self._crate = crate
        self._known: dict[str, Any] = {}
        self._tools: dict[str, list[Any]] = {stage: [] for stage in STAGES}

    def tool(self, stage: str, code: str, how: Mapping[str, Any]) -> Any:
        """The command of a stage, in one version of its code and of the packages."""
        packages = {name: version for name, version in how.get("packages", {}).items() if version}
        key = json.dumps([stage, code, packages, how.get("python")], sort_keys=True)
        if key not in self._known:
            number = len(self._tools[stage]) + 1
            version = packages.pop("tausweep", "unknown")
            needed = [self._package(name, found) for name, found in sorted(packages.items())]
            if "python" in how:
                needed.append(self._python(how["python"]))
            tool = _add(
                self._crate,
                f"#{stage}-{number}",
                {
                    "@type": "SoftwareApplication",
                    "name": f"tausweep {stage}",
                    "softwareVersion": f"{version}, code {code}",
                    "description": "The digest is of the syntax trees of the modules that make "
                    "the numbers of this stage."
                    + (f" Commit {how['commit']}." if how.get("commit") else ""),
                    "softwareRequirements": needed,
                },
            )
            self._known[key] = tool
            self._tools[stage].append(tool)
        return self._known[key]

    def machine(self, hardware: Mapping[str, Any]) -> Any:
        """A machine, with the device, threads and instructions that a job used."""
        key = "machine " + json.dumps(hardware, sort_keys=True)
        if key not in self._known:
            number = sum(name.startswith("machine ") for name in self._known) + 1
            said = ", ".join(f"{name} {value}" for name, value in sorted(hardware.items()))
            self._known[key] = _add(
                self._crate,
                f"#machine-{number}",
                {"@type": "PropertyValue", "name": "machine", "value": said or "not recorded"},
            )
        return self._known[key]

    def join_workflow(self) -> None:
        """Make the tools parts of the workflow, with a step for each stage."""
        workflow = self._crate.mainEntity
        for position, (stage, tools) in enumerate(self._tools.items(), start=1):
            if not tools:
                continue
            step = _add(
                self._crate,
                f"{workflow['@id']}#{stage}",
                {
                    "@type": "HowToStep",
                    "name": stage,
                    "position": str(position),
                    "workExample": tools,
                },
            )
            workflow.append_to("step", step)
            for tool in tools:
                workflow.append_to("hasPart", tool)

    def _package(self, name: str, version: str) -> Any:
        return self._software(f"{PYPI}/{name}/{version}/", name, version)

    def _python(self, version: str) -> Any:
        # The release's page has the number without what a distributor adds.
        return self._software(f"https://www.python.org/#{version}", "Python", version)

    def _software(self, address: str, name: str, version: str) -> Any:
        if address not in self._known:
            self._known[address] = _add(
                self._crate,
                address,
                {
                    "@type": "SoftwareApplication",
                    "name": name,
                    "softwareVersion": version,
                    "url": address,
                },
            )
        return self._known[address]
