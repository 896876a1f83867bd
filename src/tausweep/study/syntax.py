"""A digest of Python code that ignores comments, docstrings and formatting."""

from __future__ import annotations

import ast
import hashlib
from typing import Any


def syntax_digest(source: str, imports: bool = True) -> str:
    """SHA-256 of a module's syntax tree without docstrings, comments and positions.

    Args:
        source: Python code.
        imports: Whether import statements count. Without them the digest does not change if the
            imported modules move.

    Raises:
        SyntaxError: It is not Python.
    """
    # The digest must be the same on every Python from 3.11 on. Their syntax trees differ only in
    # empty fields: 3.12 added lists of type parameters, 3.13 omits empty fields, and the empty
    # strings between the parts of an f-string vary. So empty fields do not count.
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented):
            # A statement that is only a string is a docstring, of a function or of a constant.
            node.body = [s for s in node.body if not _is_text(s)] or [ast.Pass()]
    if not imports:
        tree = _WithoutImports().visit(tree)
    return hashlib.sha256(repr(_shape(tree)).encode()).hexdigest()


class _WithoutImports(ast.NodeTransformer):
    """Removes import statements; a block that has only imports becomes empty."""

    def visit_Import(self, node: ast.Import) -> None:
        """Drop ``import x``."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Drop ``from x import y``."""


def _shape(node: Any) -> Any:
    """A syntax tree as nested tuples of names, values and non-empty fields."""
    if isinstance(node, ast.Constant):
        return ("Constant", repr(node.value))
    if isinstance(node, ast.JoinedStr):
        parts = [part for part in node.values if not _is_constant(part, "")]
        return ("JoinedStr", *map(_shape, parts))
    if isinstance(node, ast.AST):
        fields = ((name, _shape(value)) for name, value in ast.iter_fields(node))
        return (type(node).__name__, *(field for field in fields if field[1] not in (None, ())))
    if isinstance(node, list):
        return tuple(_shape(part) for part in node)
    return node if node is None else repr(node)


def _is_constant(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
