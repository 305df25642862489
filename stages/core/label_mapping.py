"""Writes label maps that a network makes of photographs: by shards, resumable, wherever workers are."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from stages.core.artifacts.label_maps import (
    IGNORE,
    SHARDS,
    EncodedMap,
    LabelMap,
    encode_map,
    iterate_shard,
    shard_path,
    write_shard,
)
from stages.core.artifacts.shards import ARTIFACTS, atomic_out, write_atomically
from stages.core.config.params import Params
from stages.core.engine.devices import network_processes
from stages.core.mapping import compute_shards, take_over_shards
from stages.core.network_mapping import Compute, Shard, iterate_results
from stages.core.resume import resumable_work

SHARD = 256
"""Photographs of a shard, at least."""


class Job(NamedTuple):
    """What is made."""

    stage: str
    method: str
    config: Params


class LabelPlan(NamedTuple):
    """What label maps are made of, and how."""

    inputs: dict[str, str]
    """Content hash of each input artifact, by name; see `resumable_work`."""
    shards: list[Shard]
    """The photographs."""
    label: Compute[LabelMap]


def map_labels(job: Job, plan: LabelPlan, beside: Mapping[str, bytes] | None = None) -> None:
    """Write the label maps `artifacts/<stage>`, resumable; on GPUs, in threads or on a Dask cluster.

    Args:
        job: What it is for.
        plan: The photographs and how they are labelled.
        beside: Content of further files in the artifact, by name.
    """
    with resumable_work(job.stage, job.config, plan.inputs) as work:
        label_shards(job, plan, work)
        gather_labels(job, work, ARTIFACTS / job.stage, beside)


def label_shards(job: Job, plan: LabelPlan, work: Path) -> None:
    """Make the shards that a folder of unfinished work lacks; wherever workers are."""
    write = partial(_write_labels, job.stage, job.method, plan.label)
    compute_shards(plan.shards, write, work.resolve(), network_processes())


def gather_labels(job: Job, work: Path, out: Path, beside: Mapping[str, bytes] | None = None) -> None:
    """Put finished shards together to an artifact; see `map_labels`."""
    with atomic_out(out, "label_maps", job.stage, job.method) as partial_out:
        shards = len(list(work.glob(SHARDS)))
        take_over_shards(work, partial_out, shards)
        if not shards:
            write_shard(shard_path(partial_out, 0), list[LabelMap](), job.stage, job.method)
        for name, content in (beside or {}).items():
            write_atomically(partial_out / name, content)


def teaches_anything(work: Path) -> bool:
    """Whether a pixel of finished shards has a label; they are read until one has."""
    stored = (each.map for path in sorted(work.glob(SHARDS)) for each in iterate_shard(path))
    return any(bool(((found != 0) & (found != IGNORE)).any()) for found in stored)


def _write_labels(stage: str, method: str, label: Compute[LabelMap], task: tuple[Path, Shard]) -> list[str]:
    path, shard = task
    write_shard(path, iterate_results(partial(_label_encoded, label), shard), stage, method)
    return []


def _label_encoded(label: Compute[LabelMap], shard: Shard, positions: list[int]) -> list[EncodedMap]:
    return [encode_map(found) for found in label(shard, positions)]
