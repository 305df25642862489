"""Writes label maps that a network makes of photographs: by shards, resumable, wherever workers are."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from stages.core.artifacts.label_maps import EncodedMap, LabelMap, encode_map, shard_path, write_shard
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
    write = partial(_write_labels, job.stage, job.method, plan.label)
    with resumable_work(job.stage, job.config, plan.inputs) as work:
        compute_shards(plan.shards, write, work.resolve(), network_processes())
        with atomic_out(ARTIFACTS / job.stage, "label_maps", job.stage, job.method) as out:
            take_over_shards(work, out, len(plan.shards))
            if not plan.shards:
                write_shard(shard_path(out, 0), list[LabelMap](), job.stage, job.method)
            for name, content in (beside or {}).items():
                write_atomically(out / name, content)


def _write_labels(stage: str, method: str, label: Compute[LabelMap], task: tuple[Path, Shard]) -> list[str]:
    path, shard = task
    write_shard(path, iterate_results(partial(_label_encoded, label), shard), stage, method)
    return []


def _label_encoded(label: Compute[LabelMap], shard: Shard, positions: list[int]) -> list[EncodedMap]:
    return [encode_map(found) for found in label(shard, positions)]
