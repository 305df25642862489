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


class FeaturePlan(NamedTuple):
    """What vectors are made of, and how."""

    described: FeatureFormat
    shards: Sequence[Shard]
    """The photographs."""
    describe: Describe
    """Makes the rows of each, sorted by region."""
    at_once: int | None = None
    """Photographs that it is called with; see `iterate_results`."""


def map_features(config: Params, inputs: dict[str, str], plan: FeaturePlan) -> None:
    """Write the features `artifacts/extract`, resumable; on GPUs, in threads or on a Dask cluster.

    Args:
        config: The stage's parameters.
        inputs: Content hash of each input artifact, by name; see `resumable_work`.
        plan: The photographs and how they are described.
    """
    with resumable_work("extract", config, inputs) as work:
        describe_photographs(plan, work, OUT)


def describe_photographs(plan: FeaturePlan, work: Path, out: Path) -> None:
    """Write features to a folder; finished shards of them stay in a folder of unfinished work."""
    method = plan.described.method
    compute_shards(plan.shards, partial(_write_features, plan._replace(shards=())), work.resolve(), network_processes())
    with atomic_out(out, "features", "extract", method) as partial_out:
        take_over_shards(work, partial_out, len(plan.shards))


def _write_features(plan: FeaturePlan, task: tuple[Path, Shard]) -> list[str]:
    path, shard = task
    rows = [row for found in iterate_results(plan.describe, shard, plan.at_once) for row in found]
    write_feature_shard(path, plan.described, rows)
    return []
