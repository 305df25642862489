"""How many clusters: sizes, stability and the tree of the numbers that were formed, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from stages.core.artifacts.clusters import Assignments
from stages.core.artifacts.granularity import Stability, StabilityOfK, numbers, read_granularity
from stages.core.images.palette import css_color
from stages.core.metrics.kernels import Int64
from stages.evaluate.inputs import Inputs, assignments_of_train, formed_clusters
from stages.evaluate.report.charts import Line, line_chart
from stages.evaluate.report.tree import Level, draw_tree, overlap

_STABLE, _IN_DOUBT = 0.75, 0.6
"""Mean Jaccard index from which clusters are called stable, and below which in doubt. Source: Hennig 2007."""


class Number(NamedTuple):
    """One number of clusters."""

    k: int
    is_own: bool
    """Whether the run has trained on it."""
    largest: int
    smallest: int
    """Members of the largest and of the smallest cluster."""
    stability: StabilityOfK | None
    """None where the parts were too small for it."""


class Granularity(NamedTuple):
    """What the report shows of the numbers of clusters."""

    numbers: list[Number]
    verdict: str
    """Which of them is stable, in words."""
    vectors: int
    chart: Markup
    tree: Markup


def describe_granularity(inputs: Inputs, stability: Stability | None) -> Granularity | None:
    """The run's own number of clusters and all that lie beside it; None where nothing is known of any."""
    found = {k: assignments_of_train(read_granularity(k), inputs.images) for k in numbers()}
    if not found and (stability is None or not stability.draws):
        return None
    formed = formed_clusters()
    found |= {formed: inputs.assignments}
    by_k = stability.by_k if stability else {}
    rows = [_describe(k, found[k], k == formed, by_k.get(k)) for k in sorted(found)]
    vectors = stability.vectors if stability else 0
    return Granularity(rows, judge(stability, formed), vectors, _draw_chart(by_k), _draw_tree(inputs, found))


def judge(stability: Stability | None, own: int) -> str:
    """Which number of clusters is the most stable, and whether it is stable at all."""
    if stability is None or not stability.draws:
        return "Stability was not measured: cluster.stability is 0, or there are too few vectors."
    best = stability.by_k[stability.most_stable[0]]
    words = "stable" if best.jaccard >= _STABLE else "in doubt" if best.jaccard < _IN_DOUBT else "hardly stable"
    told = f"{words} (adjusted Rand {best.halves:.2f} ± {best.error:.2f}, mean Jaccard {best.jaccard:.2f})"
    if len(stability.by_k) == 1:
        return f"{best.k} clusters are {told}. cluster.also: [5, 20, 50] compares other numbers."
    equal = sorted(k for k in stability.most_stable[1:])
    beside = f"; {', '.join(map(str, equal))} within its standard error" if equal else ""
    take = "" if best.k == own else f" `luss set cluster.k={best.k}` takes it, and what follows runs again."
    return f"Of these numbers, halves of the data agree most on {best.k}{beside}: {told}.{take}"


def _describe(k: int, assignments: Assignments, is_own: bool, stability: StabilityOfK | None) -> Number:
    sizes = np.bincount(assignments.cluster_ids, minlength=k)
    return Number(k, is_own, int(sizes.max()), int(sizes.min()), stability)


def _draw_chart(by_k: dict[int, StabilityOfK]) -> Markup:
    if len(by_k) < 2:
        return Markup("")
    values, ks = list(by_k.values()), [float(k) for k in by_k]
    halves, seeds = [one.halves for one in values], [one.seeds for one in values]
    return line_chart([Line("halves", ks, halves), Line("seeds", ks, seeds)], "clusters", low=0)


def _draw_tree(inputs: Inputs, found: dict[int, Assignments]) -> Markup:
    """Clusters of other numbers have the color of the own one that most of their members are in."""
    own = Level(formed_clusters(), _ids(inputs.assignments), *_name_own(inputs))
    levels = []
    for k in sorted(found):
        level = Level(k, _ids(found[k]), [""] * k, [""] * k)
        if k == own.k or len(level.cluster_ids) != len(own.cluster_ids):
            levels += [own] * (k == own.k)
            continue
        most = overlap(own, level).argmax(0)
        names = [f"cluster {number + 1}, mostly {own.names[of]}" for number, of in enumerate(most)]
        levels.append(level._replace(colors=[own.colors[of] for of in most], names=names))
    return draw_tree(levels)


def _name_own(inputs: Inputs) -> tuple[Sequence[str], Sequence[str]]:
    shown = [int(inputs.naming.shown[number]) or number for number in range(1, formed_clusters() + 1)]
    return [css_color(number) for number in shown], [inputs.naming.name(number) for number in shown]


def _ids(assignments: Assignments) -> Int64:
    return assignments.cluster_ids.astype(np.int64)
