"""The evaluation protocols by name: how clusters are matched with classes, and what the mean IoU averages over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from stages.core.errors import UserError
from stages.core.metrics.counts import ALL, Counts
from stages.core.metrics.matching import (
    UNMATCHED,
    Match,
    match_greedily,
    match_identity,
    match_images,
    match_iou,
    match_pixels,
    without_background,
)
from stages.core.metrics.scores import Scores, benchmark_summary, pixel_summary, scene_summary
from stages.core.words import how_many
from stages.evaluate.rules import ProtocolName

MatchFinder = Callable[[Counts, int], Match]


class Protocol(NamedTuple):
    """How a match is found and what is reported."""

    find_match: MatchFinder
    """From the counts of the split that the match is fitted on, at one threshold."""
    summarize: Callable[[Scores, bool], dict[str, float | None]]
    """In percent; the flag asks for boundary scores where the protocol has them."""
    fitted_on: Literal["validation", "train"]
    """The split whose masks the match is found on, if it has any."""
    denominator: str
    """What the mean IoU is a mean over."""
    source: str
    also: Mapping[str, MatchFinder] = MappingProxyType({})
    """Further matches, found on the same split; their scores are reported beside, under names with this ending."""
    is_identity: bool = False
    """Predicted ids are class ids; nothing is matched."""
    is_one_to_one: bool = False
    """No two predicted ids may share a class, and so there may be no more of them."""
    shares_classes: bool = False
    """Predicted ids share a class wherever that scores more."""
    shares_leftover: bool = False
    """They do so only where there are more of them than classes."""
    has_background: bool = True
    """Whether pixels may be of no class; else there is no threshold either."""


def _skipping(scores: Scores, with_edges: bool) -> dict[str, float | None]:
    return pixel_summary(scores, skip_absent=True)


def _counting_zero(scores: Scores, with_edges: bool) -> dict[str, float | None]:
    return pixel_summary(scores, skip_absent=False)


_ALL_IDS = "all true ids with background, absent ones count 0"
_PRESENT_IDS = "true ids with background that occur in truth or prediction"
_PRESENT_CLASSES = "classes that occur in truth or prediction"

PROTOCOLS: dict[ProtocolName, Protocol] = {
    "imagenet_s": Protocol(
        lambda counts, level: match_images(counts.cooccurrence(level)),
        benchmark_summary,
        "validation",
        _ALL_IDS,
        "ImageNet-S benchmark: matching by images that hold both ids",
        is_one_to_one=True,
    ),
    "pixel_hungarian": Protocol(
        lambda counts, level: match_pixels(counts.confusion(level)),
        _skipping,
        "validation",
        _PRESENT_IDS,
        "TransFGU, PiCIE: one-to-one matching by shared pixels, background included; they score at working_size",
    ),
    "iou_hungarian": Protocol(
        lambda counts, level: match_iou(counts.confusion(level)),
        _counting_zero,
        "validation",
        _ALL_IDS,
        "MaskContrast: one-to-one matching by IoU, background included; over-clustering takes the class of largest IoU",
        shares_leftover=True,
    ),
    "greedy": Protocol(
        lambda counts, level: match_greedily(counts.confusion(level)),
        _skipping,
        "train",
        _PRESENT_IDS,
        "ViCE: every predicted id takes the true id it shares most pixels with",
        shares_classes=True,
    ),
    "optimal": Protocol(
        lambda counts, level: match_pixels(counts.confusion(level)),
        _skipping,
        "train",
        _PRESENT_IDS,
        "ViCE: one-to-one matching by shared pixels",
    ),
    "scenes": Protocol(
        lambda counts, level: without_background(match_greedily, counts.confusion(level)),
        lambda scores, with_edges: scene_summary(scores),
        "train",
        _PRESENT_CLASSES,
        "ViCE: every pixel has a class; each predicted id takes the class it shares most pixels with, and beside it, "
        "as _optimal, the one-to-one matching by shared pixels",
        {"optimal": lambda counts, level: without_background(match_pixels, counts.confusion(level))},
        shares_classes=True,
        has_background=False,
    ),
    "given": Protocol(
        lambda counts, level: match_identity(counts.clusters, counts.classes),
        benchmark_summary,
        "validation",
        _ALL_IDS,
        "predicted ids are class ids: supervised and semi-supervised predictions",
        is_identity=True,
        is_one_to_one=True,
    ),
    "scenes_given": Protocol(
        lambda counts, level: match_identity(counts.clusters, counts.classes),
        lambda scores, with_edges: scene_summary(scores),
        "validation",
        _PRESENT_CLASSES,
        "MMSegmentation: every pixel has a class, and predicted ids are class ids: probes and supervised predictions",
        is_identity=True,
        is_one_to_one=True,
        has_background=False,
    ),
}


def check_sizes(protocol: ProtocolName, clusters: int, classes: int) -> None:
    """Refuse a number of clusters that a protocol does not define.

    Raises:
        UserError: Says which protocols would do.
    """
    if PROTOCOLS[protocol].is_one_to_one and clusters > classes:
        raise UserError(
            f"protocol {protocol}: {how_many(clusters, 'cluster')} against {how_many(classes, 'class')}; it matches "
            "one to one. Take as many clusters as classes, or protocol 'greedy' or 'iou_hungarian', made for more"
        )


def check_truth(protocol: ProtocolName, counts: Counts) -> None:
    """Refuse masks that a protocol has no place for.

    Raises:
        UserError: There is background where every pixel must have a class.
    """
    if not PROTOCOLS[protocol].has_background and counts.true_area[ALL, 0]:
        raise UserError(
            f"protocol {protocol}: the masks hold background (id 0), but every pixel must have a class or be ignored; "
            "take protocol 'greedy', 'optimal' or 'given'"
        )


def check_match(protocol: ProtocolName, match: Match, counts: Counts) -> None:
    """Refuse a given match that the protocol cannot be scored with.

    Raises:
        UserError: A predicted id has no class, or two share one where the protocol needs pairs.
    """
    predicted = np.flatnonzero(counts.pred_area.any((0, 2)))
    if not PROTOCOLS[protocol].is_one_to_one:
        return
    if unmatched := [int(pred) for pred in predicted if match[pred] == UNMATCHED]:
        raise UserError(f"match: predicted id {', '.join(map(str, unmatched[:10]))} has no class in it")
    known = match[match != UNMATCHED]
    if match[0] != 0 or len(set(known.tolist())) < len(known):
        raise UserError(f"match: protocol {protocol} needs pairs, one class for one cluster, and background 0 for 0")
