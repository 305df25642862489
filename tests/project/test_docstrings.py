"""Names in backticks, in docstrings and comments, are names of the code: a rename that forgets them is caught.

Names of libraries begin with the library: `torch.nn.functional.grid_sample`.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = [path for tree in ("flows", "stages") for path in sorted((ROOT / tree).rglob("*.py"))]
SETTINGS = [ROOT / "dvc.yaml", ROOT / "pyproject.toml", *(ROOT / "flows/recipes").rglob("*.yaml")]
LIBRARIES = {"numpy", "torch"}
NAME = re.compile(r"[A-Za-z_][\w.]*(\(\))?")


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring, of fields too, and of every comment."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def words(source: str) -> set[str]:
    """Names, and words in strings, of everything that runs."""
    docs = {text for _, text in prose(source)}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = {token.string for token in tokens if token.type == tokenize.NAME}
    strings = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    return found.union(*(re.findall(r"\w+", text) for text in strings if isinstance(text, str) and text not in docs))


def stale_names(source: str, known: set[str]) -> list[tuple[int, str]]:
    """Line and name of what stands in backticks and is not known."""
    quoted = [(line, name) for line, text in prose(source) for name in re.findall(r"`([^`\n]+)`", text)]
    names = [(line, name) for line, name in quoted if NAME.fullmatch(name) and name.partition(".")[0] not in LIBRARIES]
    return [(line, name) for line, name in names if not set(re.findall(r"\w+", name)) <= known]


def test_a_stale_name_is_caught() -> None:
    source = '"""See `old_name`, `Kept.field` and `kept 2`."""\n# `Gone.field`\nclass Kept:\n    field = 1\n'
    assert stale_names(source, words(source)) == [(1, "old_name"), (2, "Gone.field")]


def test_names_in_docstrings_and_comments_exist() -> None:
    sources = {path.relative_to(ROOT): path.read_text() for path in CODE}
    known = {part for path in sources for part in path.with_suffix("").parts}
    known |= {word for path in SETTINGS for word in re.findall(r"\w+", path.read_text())}
    known = known.union(*map(words, sources.values()))
    stale = {f"{path}:{line}: {name}" for path, text in sources.items() for line, name in stale_names(text, known)}
    assert stale == set()
