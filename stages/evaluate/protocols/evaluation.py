"""Evaluates predictions: chooses the threshold, finds the match, scores every split with both."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.core.errors import UserError
from stages.core.metrics.counting import CountingSettings, count_images
from stages.core.metrics.counts import ALL, Counts
from stages.core.metrics.matching import Match
from stages.core.metrics.otsu import otsu_of_scores
from stages.core.metrics.scores import Scores, score
from stages.core.metrics.thresholds import Thresholds
from stages.core.progress import track
from stages.evaluate import Config
from stages.evaluate.inputs import PREDICTIONS, Inputs, StoredMapLoader, splits_with_masks
from stages.evaluate.protocols.definitions import PROTOCOLS, check_sizes, check_truth
from stages.evaluate.rules import EVERYWHERE, UNSCORED, Threshold, threshold_of_card


class Curve(NamedTuple):
    """mIoU of the validation split by threshold, the match found anew at each."""

    hundredths: tuple[int, ...]
    miou: tuple[float, ...]

    @property
    def best(self) -> int:
        """The first threshold of the highest mIoU, in hundredths."""
        return self.hundredths[int(np.argmax(self.miou))]


class SplitScores(NamedTuple):
    """One scored split."""

    counts: Counts
    level: int
    scores: Scores
    summary: dict[str, float | None]
    """In percent."""


class Evaluation(NamedTuple):
    """Result of an evaluation; without masks only the threshold, and clusters stay unmatched."""

    threshold: Threshold
    match: Match
    match_source: str
    splits: dict[str, SplitScores]
    """The scored splits; empty without masks."""
    curve: Curve | None
    fitted_on: str | None = None
    """The split whose masks the match was found on; None if nothing was matched."""

    @property
    def has_scores(self) -> bool:
        """Whether there was any mask."""
        return bool(self.splits)


def evaluate(config: Config, inputs: Inputs) -> Evaluation:
    """Score all segmented splits that have masks.

    Raises:
        UserError: The masks, the predictions or the protocol do not fit together.
    """
    masked = splits_with_masks(inputs)
    levels, threshold = _choose_levels(config, inputs, masked)
    if not masked:
        return Evaluation(threshold or UNSCORED, np.arange(inputs.clusters + 1), "none: no masks", {}, None)
    _check(config, inputs)
    fitted_on = _fitting_split(config, list(masked))
    counted = _Counted(config, inputs, masked)
    curve = None
    if "validation" in masked and len(levels) > 1:
        curve = _draw_curve(config, counted.at("validation", levels), counted.at(fitted_on, levels), levels)
        threshold = threshold or Threshold(curve.best, "chosen on validation masks", True)
    threshold = threshold or UNSCORED
    chosen = (threshold.hundredths,) if threshold.hundredths is not None else ()
    protocol, fitted = PROTOCOLS[config.protocol], counted.one(fitted_on, chosen)
    match = protocol.find_match(*fitted)
    splits = {split: _score_split(config, *counted.one(split, chosen), match) for split in masked}
    for ending, find_match in protocol.also.items():
        _score_beside(config, splits, ending, find_match(*fitted))
    matched_on = None if protocol.is_identity else fitted_on
    return Evaluation(threshold, match, _describe_match(config, fitted_on), splits, curve, matched_on)


def _check(config: Config, inputs: Inputs) -> None:
    if not inputs.classes:
        raise UserError(
            "artifacts/index/labels: there are masks but classes.json names no class; give the data set its classes"
        )
    check_sizes(config.protocol, inputs.clusters, inputs.classes)


class _Counted:
    """Counts each split once for all thresholds that are asked for at first."""

    def __init__(self, config: Config, inputs: Inputs, masked: dict[str, list[tuple[str, str]]]) -> None:
        self._config, self._inputs, self._masked = config, inputs, masked
        self._known: dict[str, tuple[tuple[int, ...], Counts]] = {}

    def at(self, split: str, levels: tuple[int, ...]) -> Counts:
        """Counts of a split at thresholds in hundredths; none for predictions as they stand."""
        known = self._known.get(split)
        if known is None or not set(levels) <= set(known[0]):
            known = self._known[split] = levels, self._count(split, levels)
        return known[1]

    def one(self, split: str, levels: tuple[int, ...]) -> tuple[Counts, int]:
        """Counts of a split, and the place of the one threshold among those that were counted."""
        counts = self.at(split, levels)
        return counts, self._known[split][0].index(levels[0]) if levels else 0

    def _count(self, split: str, levels: tuple[int, ...]) -> Counts:
        thresholds = Thresholds([value / 100 for value in levels]) if levels else None
        settings = CountingSettings(
            self._inputs.classes, self._inputs.clusters, self._config.ignore_id, max(len(levels), 1)
        )
        load = StoredMapLoader(PREDICTIONS, thresholds, self._inputs.labels.mask_ids, self._config.working_size)
        counts = count_images(self._masked[split], load, settings, f"score {split}")
        if not counts.true_area[ALL, 1:].any():
            raise UserError(f"the masks of split {split} hold no class at all, only 0 and {self._config.ignore_id}")
        check_truth(self._config.protocol, counts)
        return counts


def _choose_levels(
    config: Config, inputs: Inputs, masked: dict[str, list[tuple[str, str]]]
) -> tuple[tuple[int, ...], Threshold | None]:
    """The thresholds to count on validation, and the threshold unless validation is to choose it."""
    if not PROTOCOLS[config.protocol].has_background:
        return (), EVERYWHERE
    first = next(iter(inputs.predictions.image_ids), None)
    if first is None or inputs.predictions[first].score is None:
        return (), UNSCORED
    own = threshold_of_card(inputs.segmenter)
    threshold: Threshold | None
    match config.threshold:
        case "fixed":
            threshold = Threshold(round(100 * config.fixed_threshold), "fixed: evaluate.fixed_threshold", False)
        case "segmenter":
            threshold = own or UNSCORED
        case "validation" if "validation" in masked:
            threshold = None
        case _:
            threshold = _label_free(inputs, fallback=config.threshold == "validation")
    curve = set(range(config.curve_max + 1))
    if threshold is not None and threshold.hundredths is not None:
        curve.add(threshold.hundredths)
    return tuple(sorted(curve)), threshold


def _label_free(inputs: Inputs, fallback: bool) -> Threshold:
    """Otsu's cut of the scores of the first segmented split of validation, test, train."""
    split = next(split for split in ("validation", "test", "train") if inputs.predicted(split))
    found = (inputs.predictions[image_id] for image_id in track(inputs.predicted(split), label=f"scores of {split}"))
    cut = otsu_of_scores(each.score[np.asarray(each.map) > 0] for each in found if each.score is not None)
    why = "; validation has no masks to choose on" if fallback else ""
    return Threshold(round(100 * cut), f"chosen without labels: Otsu's cut of the scores of {split}{why}", False)


def _fitting_split(config: Config, masked: list[str]) -> str:
    """The protocol's split, or the next best that has masks."""
    wanted = _wanted_split(config)
    return next(split for split in (wanted, "validation", "test", "train") if split in masked)


def _wanted_split(config: Config) -> str:
    return PROTOCOLS[config.protocol].fitted_on if config.fitted_on == "protocol" else config.fitted_on


def _describe_match(config: Config, fitted_on: str) -> str:
    wanted = _wanted_split(config)
    if PROTOCOLS[config.protocol].is_identity:
        return "predicted ids are class ids"
    return fitted_on if fitted_on == wanted else f"{fitted_on} ({wanted} has no masks or was not segmented)"


def _draw_curve(config: Config, scored: Counts, fitted: Counts, levels: tuple[int, ...]) -> Curve:
    protocol, values = PROTOCOLS[config.protocol], []
    for level, value in enumerate(levels):
        if value <= config.curve_max:
            summary = protocol.summarize(score(scored, protocol.find_match(fitted, level), level), False)
            values.append(float(summary["mIoU"] or 0))
    return Curve(tuple(value for value in levels if value <= config.curve_max), tuple(values))


def _score_split(config: Config, counts: Counts, level: int, match: Match) -> SplitScores:
    scores = score(counts, match, level)
    return SplitScores(counts, level, scores, PROTOCOLS[config.protocol].summarize(scores, config.boundary))


def _score_beside(config: Config, splits: dict[str, SplitScores], ending: str, match: Match) -> None:
    """Add the scores of another match to every split's summary."""
    for scored in splits.values():
        beside = _score_split(config, scored.counts, scored.level, match).summary
        scored.summary.update({f"{name}_{ending}": value for name, value in beside.items()})
