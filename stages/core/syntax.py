"""Reduces Python sources to what can change a result (no comments, docstrings, annotations), and lists imports.

Nothing is imported or run; equal code gives equal text under every Python version.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from typing import NamedTuple

_HARMLESS_DECORATORS = {
    *("abstractmethod", "cache", "cached_property", "classmethod", "contextmanager", "lru_cache", "override"),
    *("property", "setter", "staticmethod", "wraps"),
    *("field_validator", "model_validator", "inference_mode", "no_grad", "full_precision", "kernel"),
}
"""Decorators that do not look at annotations. Of a function with another one, annotations count: it may."""
_READERS = {"__annotations__", "get_annotations", "get_type_hints", "signature"}
"""In a module that says one of these, all annotations count."""
_FOR_ANNOTATIONS = ("typing", "collections.abc", "numpy.typing", "__future__")
"""What is imported from these runs nothing; wherever it is used beyond annotations, the use counts."""


class Syntax(NamedTuple):
    """Digest and imports of one module."""

    digest: str
    """sha256 of the syntax tree, reduced to what can change a result; empty if nothing is left of it."""
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
    imports = frozenset(_list_imports(tree, package))
    _Reduction(annotations_count=any(_name_of(node) in _READERS for node in ast.walk(tree))).visit(tree)
    return Syntax(sha256("".join(_describe(tree)).encode()).hexdigest() if tree.body else "", imports)


class _Reduction(ast.NodeTransformer):
    """Leaves out docstrings, what is for type checkers only, and annotations that nothing reads at run time.

    In the body of a class annotations count: they are the fields of configs and dataclasses.
    """

    def __init__(self, annotations_count: bool) -> None:
        self._everywhere = self._count = annotations_count

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._visit_body(node, annotations_count=True)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._visit_function(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return node if self._count else ast.arg(node.arg)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if self._count:
            return node
        return ast.Assign([node.target], node.value) if node.value else None

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if _is_for_type_checkers(node) else self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        is_renamed = any(alias.asname for alias in node.names)
        return None if node.module in _FOR_ANNOTATIONS and not node.level and not is_renamed else node

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        are_read = any(_name_of(decorator) not in _HARMLESS_DECORATORS for decorator in node.decorator_list)
        if not (are_read or self._everywhere):
            node.returns = None
        return self._visit_body(node, annotations_count=are_read)

    def _visit_body(self, node: ast.AST, annotations_count: bool) -> ast.AST:
        outside, self._count = self._count, annotations_count or self._everywhere
        self.generic_visit(node)
        self._count = outside
        return node


def _describe(value: object) -> Iterator[str]:
    """The tree as text, written here because `ast.dump` differs between Python versions; absent fields are left out."""
    if isinstance(value, ast.AST):
        yield type(value).__name__ + "("
        for name, field in ast.iter_fields(value):
            if field is not None and field != [] and name != "kind":  # `kind` tells u"" from "".
                yield f"{name}="
                yield from _describe(field)
        yield ")"
    elif isinstance(value, list):
        yield "["
        for item in value:
            yield from _describe(item)
            yield ","
        yield "]"
    else:
        yield ascii(value)


def _name_of(node: ast.AST) -> str:
    """The last part of a name; of a call, that of what is called."""
    if isinstance(node, ast.Call):
        return _name_of(node.func)
    return getattr(node, "attr", getattr(node, "id", ""))


def _is_for_type_checkers(node: ast.AST) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`, whose block never runs."""
    return isinstance(node, ast.If) and not node.orelse and _name_of(node.test) == "TYPE_CHECKING"


def _list_imports(node: ast.AST, package: str) -> Iterator[str]:
    if _is_for_type_checkers(node):
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
