"""What a score is not: each way in which a protocol, a match, a threshold or a training has seen more than the next."""

from __future__ import annotations

from stages.core.artifacts.labels import LABELS
from stages.core.words import how_many
from stages.evaluate import Config
from stages.evaluate.evaluators.evaluator import EvaluatorResults
from stages.evaluate.evaluators.object_protocol import OBJECTS
from stages.evaluate.inputs import Inputs
from stages.evaluate.protocols.definitions import PROTOCOLS
from stages.evaluate.protocols.evaluation import Evaluation
from stages.evaluate.provenance import Provenance
from stages.evaluate.rules import ProtocolName

BADGES = {
    "matched_on_scored_split": "matched on the masks that score it",
    "many_to_one": "many to one",
    "threshold_by_masks": "threshold chosen by masks",
    "clustered_on_scored_split": "objects clustered on the scored split",
    "masks_left_out": "masks that cannot be used are left out",
}
"""Name of a caveat, and what the report's heading says of it. Labels before scoring have a badge of their own there."""


_WITHOUT_SCORES = ("masks_left_out", "labels_before_scoring")
"""Those that concern a result without scores, too."""


def title(protocol: ProtocolName, fitted_on: str | None, working_size: tuple[int, int] | None) -> str:
    """A protocol's name with all that makes its numbers another protocol's, as `scenes, matched on train`."""
    size = f", at {working_size[0]} x {working_size[1]}" if working_size else ""
    return f"{protocol}{f', matched on {fitted_on}' if fitted_on else ''}{size}"


def many_to_one(protocol: ProtocolName, clusters: int, classes: int) -> str:
    """Which scores let several clusters share one class; empty if none does."""
    found = PROTOCOLS[protocol]
    if not (found.shares_classes or (found.shares_leftover and clusters > classes)):
        return ""
    beside = "".join(f"; mIoU_{ending} is one to one" for ending in found.also)
    return f"{how_many(clusters, 'cluster')} may share {how_many(classes, 'class')}{beside}"


def left_out(rejected_masks: int) -> str:
    """How many masks `index` could not use, and where they are listed; empty if none."""
    return f"{how_many(rejected_masks, 'file')}, see {LABELS / 'rejected.csv'}" if rejected_masks else ""


def find_caveats(
    config: Config, inputs: Inputs, evaluation: Evaluation, results: EvaluatorResults, provenance: Provenance
) -> dict[str, str]:
    """Those of a result, by name, each with what it concerns."""
    fitted_on, threshold = evaluation.fitted_on, evaluation.threshold
    found = {
        "matched_on_scored_split": fitted_on if fitted_on in evaluation.splits else "",
        "many_to_one": many_to_one(config.protocol, inputs.clusters, inputs.classes),
        "threshold_by_masks": "validation" if threshold.uses_labels else "",
        "clustered_on_scored_split": "objects_mIoU" if results.detail(OBJECTS) else "",
        "masks_left_out": left_out(inputs.rejected_masks),
        "labels_before_scoring": "; ".join(provenance.label_uses),
    }
    if not evaluation.has_scores:
        found = {name: found[name] for name in _WITHOUT_SCORES}
    return {name: what for name, what in found.items() if what}
