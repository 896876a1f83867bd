"""What Python code means, as a digest: comments, docstrings and formatting do not count."""

from __future__ import annotations

import ast
import hashlib


def syntax_digest(source: str) -> str:
    """SHA-256 of a module's syntax tree without docstrings, comments and positions."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented):
            # A string alone as a statement is a docstring, of a function or of a constant.
            node.body = [s for s in node.body if not _is_text(s)] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree, annotate_fields=False).encode()).hexdigest()


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
