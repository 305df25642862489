"""What a Python source says to the interpreter: its syntax tree without what cannot change a result, and its imports.

Nothing is imported or run; equal code gives equal text under every Python version.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from typing import NamedTuple

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Syntax(NamedTuple):
    """What counts of one module."""

    digest: str
    """sha256 of the syntax tree without comments, docstrings and annotations; empty if nothing is left of it."""
    imports: frozenset[str]
    """Dotted names of everything it imports anywhere: modules, and names in modules, which may be modules too."""


@cache
def read_syntax(source: str, package: str) -> Syntax:
    """Parse a module.

    Args:
        source: Its text.
        package: Dotted name of the package it lies in, from which relative imports start.
    """
    tree = ast.parse(source)
    text = "".join(_describe(tree, in_class=False))
    digest = sha256(text.encode()).hexdigest() if _drop_unused(tree.body) else ""
    return Syntax(digest, frozenset(_list_imports(tree, package)))


def _describe(node: ast.AST, in_class: bool) -> Iterator[str]:
    """The tree as text, written here because `ast.dump` differs between Python versions; absent fields are left out."""
    yield type(node).__name__ + "("
    for name, value in ast.iter_fields(node):
        if _is_annotation(node, name, in_class):
            continue
        kept = _drop_unused(value) if isinstance(value, list) else value
        if kept is not None and kept != []:
            yield f"{name}="
            yield from _describe_value(kept, _is_in_class(node, in_class))
    yield ")"


def _describe_value(value: object, in_class: bool) -> Iterator[str]:
    if isinstance(value, ast.AST):
        yield from _describe(value, in_class)
    elif isinstance(value, list):
        yield "["
        for item in value:
            yield from _describe_value(item, in_class)
            yield ","
        yield "]"
    else:
        yield ascii(value)


def _drop_unused(nodes: Iterable[ast.AST]) -> list[ast.AST]:
    return [node for node in nodes if not _is_bare_text(node) and not _is_for_types_only(node)]


def _is_bare_text(node: ast.AST) -> bool:
    """Docstrings of modules, classes, functions and attributes."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_for_types_only(node: ast.AST) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`, whose block never runs."""
    if not isinstance(node, ast.If) or node.orelse:
        return False
    return getattr(node.test, "id", getattr(node.test, "attr", "")) == "TYPE_CHECKING"


def _is_annotation(node: ast.AST, name: str, in_class: bool) -> bool:
    """Annotations say nothing at run time, except in the body of a class: there they are fields."""
    if isinstance(node, ast.AnnAssign):
        return not in_class and name in ("annotation", "simple")
    return name in ("returns", "annotation", "type_comment", "kind")


def _is_in_class(node: ast.AST, in_class: bool) -> bool:
    return isinstance(node, ast.ClassDef) or (in_class and not isinstance(node, _FUNCTIONS))


def _list_imports(node: ast.AST, package: str) -> Iterator[str]:
    if _is_for_types_only(node):
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        yield module
        yield from (f"{module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _list_imports(child, package)
