"""The JSON schema of study files, which editors use to complete and check them."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from pydantic import BaseModel

from tausweep.study.dataset import DatasetSettings, Source
from tausweep.study.encoder import EncoderSettings
from tausweep.study.grid import DatasetEntry, Override, Study
from tausweep.study.loss import BASELINES, LossGrid
from tausweep.study.loss_kinds import KINDS
from tausweep.study.measures import MEASURES
from tausweep.study.pretrain import PretrainSettings
from tausweep.study.protocol import OF_THE_RUN, PROTOCOL, SECTIONS
from tausweep.study.views import ViewSettings

MODELS: dict[str, type[BaseModel]] = {
    "views": ViewSettings,
    "encoder": EncoderSettings,
    "pretrain": PretrainSettings,
    **MEASURES,
}
"""The settings of a study file's sections."""


def study_schema() -> dict[str, Any]:
    """The JSON schema of a study file (draft 2020-12).

    It knows every key with its type and range. Errors that involve several keys, such as a missing
    temperature, are found by `tausweep plan`.
    """
    schema = Study.model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs")
    for name, model in MODELS.items():
        definitions[name] = _optional(model)
        definitions[name]["description"] = _summary(model)
    definitions["source"] = _optional(Source)
    for model in (DatasetEntry, LossGrid, Override):
        _describe(definitions[model.__name__], model)
    _describe(schema, Study)
    for place in (schema, definitions["Override"]):
        for name in SECTIONS:
            place["properties"][name] = {"$ref": f"#/$defs/{name}"}
    _complete_dataset(definitions["DatasetEntry"])
    _complete_loss(definitions["LossGrid"])
    schema["properties"]["datasets"] |= _suggested("DatasetEntry", [*PROTOCOL])
    schema["properties"]["losses"] |= _suggested("LossGrid", [*KINDS, *BASELINES])
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tausweep study",
        **{key: value for key, value in schema.items() if key != "title"},
        "$defs": definitions,
    }
    standard: dict[str, Any] = _standard(whole)
    return standard


def schema_text() -> str:
    """The text of ``docs/study.schema.json``."""
    return json.dumps(study_schema(), indent=2, ensure_ascii=False) + "\n"


_KEYWORDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}


def _standard(schema: Any) -> Any:
    """Rename bounds to JSON schema's keywords; behind a validator pydantic keeps its own names."""
    if isinstance(schema, list):
        return [_standard(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {_KEYWORDS.get(key, key): _standard(value) for key, value in schema.items()}


def _optional(model: type[BaseModel]) -> dict[str, Any]:
    """A section's schema with no required keys, because a study file may leave out any of them."""
    schema = model.model_json_schema()
    schema.pop("required", None)
    schema.pop("$defs", None)
    _describe(schema, model)
    # An empty ``pretrain:`` means the same as no ``pretrain`` at all.
    schema["type"] = ["object", "null"]
    return schema


def _complete_dataset(entry: dict[str, Any]) -> None:
    settings = DatasetSettings.model_json_schema()["properties"]
    attributes = _attributes(DatasetSettings)
    for name in entry["properties"].keys() & settings.keys() - {"source"}:
        entry["properties"][name] = settings[name] | {"description": attributes.get(name, "")}
    seed = entry["properties"]["subset_seed"]
    entry["properties"]["subset_seed"] = {
        "description": seed.pop("description"),
        "default": seed.pop("default"),
        "anyOf": [seed, {"const": OF_THE_RUN}],
    }
    entry["properties"]["source"] = {"$ref": "#/$defs/source"}
    entry["properties"]["views"] = {"$ref": "#/$defs/views"}
    entry["type"] = ["object", "null"]


def _complete_loss(grid: dict[str, Any]) -> None:
    temperatures = grid["properties"]["temperature"]
    positive = {"type": "number", "exclusiveMinimum": 0}
    temperatures["anyOf"] = [*temperatures["anyOf"], positive]
    grid["type"] = ["object", "null"]


def _suggested(definition: str, names: list[str]) -> dict[str, Any]:
    """A schema of names that an editor may suggest; other names are allowed too."""
    return {"properties": {name: {"$ref": f"#/$defs/{definition}"} for name in names}}


def _describe(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Describe each property with its text in the model's docstring."""
    for name, words in _attributes(model).items():
        if name in schema["properties"]:
            schema["properties"][name]["description"] = words
    for part in schema["properties"].values():
        part.pop("title", None)
    schema["description"] = _summary(model)


def _summary(model: type[BaseModel]) -> str:
    return _plain((inspect.getdoc(model) or "").partition("\n\n")[0])


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """The ``Attributes:`` of a docstring, each on one line."""
    listed = (inspect.getdoc(model) or "").partition("Attributes:\n")[2]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", listed, flags=re.MULTILINE)
    return {name: _plain(words) for name, words in found}


def _plain(text: str) -> str:
    return " ".join(text.replace("``", "`").split())
