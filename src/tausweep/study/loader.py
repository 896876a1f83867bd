"""YAML as study files use it: each key once, and numbers as in YAML 1.2."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml


class StudyLoader(yaml.SafeLoader):
    """Rejects a mapping that names a key twice; SafeLoader would silently use the last one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping and check that its keys are all different.

        Raises:
            yaml.constructor.ConstructorError: A key is listed twice, or is not a word or a number.
        """
        # Checked before merge keys are resolved: a mapping may override a key that it merges.
        node = super().compose_mapping_node(anchor)
        seen: set[Any] = set()
        for key, _ in node.value:
            merges = key.tag == "tag:yaml.org,2002:merge"
            name = "<<" if merges else self.construct_object(key, deep=True)
            if not isinstance(name, Hashable):
                problem = "a key must be a word or a number"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            if name in seen:
                problem = f"the key {name!r} is listed twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(name)
        return node


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node), 0 if node.value[:2] in ("0o", "0x") else 10)


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(
        loader.construct_scalar(node).lower().replace(".inf", "inf").replace(".nan", "nan")
    )


# Numbers follow YAML 1.2. In YAML 1.1, which PyYAML implements, 1e-3 is text, 010 is 8, 1:30 is 90
# and 2024-01-01 is a date.
_OTHER_SCALARS = ("bool", "merge", "null", "yaml", "value")


StudyLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if tag.rpartition(":")[2] in _OTHER_SCALARS]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


for _tag, _form, _read_as in (
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", _integer),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", _float),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", _float),
):  # fmt: skip
    StudyLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_form})$"), list("-+.0123456789")
    )
    StudyLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _read_as)
