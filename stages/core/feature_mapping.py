"""Writes vectors that a network makes of photographs: by shards, resumable, wherever workers are."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from stages.core.artifacts.features import OUT, Feature, FeatureFormat, write_feature_shard
from stages.core.artifacts.shards import atomic_out
from stages.core.config.params import Params
from stages.core.engine.devices import network_processes
from stages.core.mapping import compute_shards, take_over_shards
from stages.core.network_mapping import Compute, Shard, iterate_results
from stages.core.resume import resumable_work

Describe = Compute[list[Feature]]


class FeatureJob(NamedTuple):
    """What is made, of what."""

    config: Params
    inputs: dict[str, str]
    """Content hash of each input artifact, by name; see `resumable_work`."""
    described: FeatureFormat


def map_features(job: FeatureJob, shards: Sequence[Shard], describe: Describe, at_once: int | None = None) -> None:
    """Write the features `artifacts/extract`, resumable; on GPUs, in threads or on a Dask cluster.

    Args:
        job: What it is for.
        shards: The photographs.
        describe: Makes the rows of each, sorted by region.
        at_once: Photographs that it is called with; see `iterate_results`.
    """
    write = partial(_write_features, job.described, describe, at_once)
    with resumable_work("extract", job.config, job.inputs) as work:
        compute_shards(shards, write, work.resolve(), network_processes())
        with atomic_out(OUT, "features", "extract", job.described.method) as out:
            take_over_shards(work, out, len(shards))


def _write_features(
    described: FeatureFormat, describe: Describe, at_once: int | None, task: tuple[Path, Shard]
) -> list[str]:
    path, shard = task
    rows = [row for found in iterate_results(describe, shard, at_once) for row in found]
    write_feature_shard(path, described, rows)
    return []
