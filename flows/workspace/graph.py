"""The stage graph as DVC reads it from dvc.yaml, and which of its nodes have changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flows.recipes.composing import stage_names
from stages.core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from dvc.stage import Stage


class Node(NamedTuple):
    """A stage, or data that DVC tracks."""

    name: str
    """Name of the stage; `data` for data.dvc."""
    target: str
    """What `dvc repro` is told."""
    needs: tuple[str, ...]
    """Names of the nodes whose outs it reads."""
    is_changed: bool
    """DVC's own word: its code, parameters, inputs or outs are not those of dvc.lock."""
    tags: tuple[str, ...] = ()
    """`meta: {tags: […]}` of dvc.yaml; each is a concurrency limit."""
    time_limit: float | None = None
    """`meta: {time_limit: …}`: seconds after which the stage is ended."""
    retries: int = 0
    """`meta: {retries: …}`: how often a failure is tried again."""


def check_stages(names: Sequence[str]) -> None:
    """Raise `UserError` for a name that is no stage of dvc.yaml."""
    known = stage_names()
    for name in names:
        if name not in known:
            raise UserError(f"no such stage {name!r}{did_you_mean(name, known)}; there are: {', '.join(known)}")


def read_graph(stages: Sequence[str] = ()) -> list[Node]:
    """Read the nodes that `dvc repro STAGES` would visit, in an order in which they can run.

    Raises:
        UserError: A stage is unknown, or DVC cannot read its files.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.reproduce import get_active_graph, plan_repro

    check_stages(stages)
    try:
        with Repo(_wait_for_lock=True) as repo:
            graph = get_active_graph(repo.index.graph)
            asked = [stage for stage in graph if not stages or getattr(stage, "name", None) in stages]
            order = plan_repro(graph, asked)
            # Of everything at once: DVC reads dvc.yaml and dvc.lock again for each target that it is given.
            changed = repo.status()
            return [_node(stage, graph.successors(stage), _target(stage) in changed) for stage in order]
    except DvcException as error:
        raise UserError(f"DVC cannot read the pipeline: {error}") from None


def _node(stage: Stage, needs: Any, is_changed: bool) -> Node:
    meta = getattr(stage, "meta", None) or {}
    return Node(
        name=_name(stage),
        target=_target(stage),
        needs=tuple(sorted(_name(upstream) for upstream in needs)),
        is_changed=is_changed,
        tags=tuple(meta.get("tags", ())),
        time_limit=meta.get("time_limit"),
        retries=meta.get("retries", 0),
    )


def _name(stage: Stage) -> str:
    return str(getattr(stage, "name", None) or Path(stage.path_in_repo).stem)


def _target(stage: Stage) -> str:
    # What DVC calls a stage itself would depend on the working directory.
    return str(getattr(stage, "name", None) or stage.path_in_repo)
