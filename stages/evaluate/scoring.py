"""From predictions and masks to scores, records and the report."""

import shutil

from stages.core.artifacts.shards import ARTIFACTS, encode_json, write_atomically
from stages.core.config.splits import SPLITS
from stages.evaluate import Config
from stages.evaluate.evaluators.clustering import score_assignments
from stages.evaluate.evaluators.object_protocol import score_objects
from stages.evaluate.inputs import Inputs, read_inputs
from stages.evaluate.protocols.evaluation import evaluate
from stages.evaluate.provenance import read_provenance
from stages.evaluate.records import DIGITS, write_matching, write_metrics, write_per_class
from stages.evaluate.report.overlays import Overlay, draw_overlays
from stages.evaluate.report.page import render_report
from stages.evaluate.report.pictures import encode_jpeg, join_panels

OUT = ARTIFACTS / "evaluate"

_SHOWN = (
    "mIoU",
    "b_mIoU",
    "F",
    "accuracy",
    "pixel_accuracy",
    "mIoU_optimal",
    "NMI",
    "objects_mIoU",
    "retrieval_mIoU",
    "neighbors_mIoU",
    "cat_cos",
    "view_cos",
)


def write_scores(config: Config) -> None:
    """Score what was predicted and write the records and the report; metrics.json comes last."""
    inputs, provenance = read_inputs(), read_provenance(config)
    evaluation = evaluate(config, inputs)
    agreement = score_assignments(inputs.assignments, inputs.labels, inputs.clusters)
    overlays = draw_overlays(config, inputs, evaluation)
    objects = score_objects(config, inputs, evaluation)
    _write_overlays(overlays)
    report = render_report(config, inputs, evaluation, agreement, (provenance, overlays, objects))
    write_atomically(OUT / "report.html", report.encode())
    write_atomically(OUT / "per_class.csv", write_per_class(inputs, evaluation).encode())
    write_atomically(OUT / "matching.json", encode_json(write_matching(inputs, evaluation, agreement)))
    metrics = write_metrics(config, inputs, evaluation, agreement, provenance)
    for found in objects:
        metrics[found.split] |= {name: round(value, DIGITS) for name, value in found.summary.items()}
    for split in evaluation.splits:
        beside = _measure_beside(config, inputs, split)
        metrics[split] |= {name: round(value, DIGITS) for name, value in beside.items()}
    write_atomically(OUT / "metrics.json", encode_json(metrics))
    for split in SPLITS:
        if shown := [f"{name} {metrics[split][name]:.1f}" for name in _SHOWN if name in metrics.get(split, {})]:
            print(f"{split}: {', '.join(shown)}")


def _measure_beside(config: Config, inputs: Inputs, split: str) -> dict[str, float]:
    """What the config asks for beside the scores of the predictions; needs the pretrained network."""
    found: dict[str, float] = {}
    if config.coherence:
        from stages.evaluate.evaluators.coherence import measure_coherence

        found |= measure_coherence(inputs, split, config.coherence, config.ignore_id)._asdict()
    if config.neighbors:
        from stages.evaluate.evaluators.neighbor_protocol import score_by_neighbors

        found |= score_by_neighbors(config, config.neighbors, inputs, split)
    return found


def _write_overlays(overlays: list[Overlay]) -> None:
    out = OUT / "overlays"
    partial = out.with_name("overlays.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for overlay in overlays:
        write_atomically(partial / overlay.file_name, encode_jpeg(join_panels(overlay.panels)))
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
