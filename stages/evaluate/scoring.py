"""From predictions and masks to scores, records and the report."""

import shutil
import sys
from typing import Any

from stages.core.artifacts.shards import ARTIFACTS, encode_json, write_atomically
from stages.core.config.splits import SPLITS
from stages.evaluate import Config
from stages.evaluate.caveats import left_out
from stages.evaluate.evaluators.clustering import CLUSTERING
from stages.evaluate.evaluators.table import EVALUATORS, measure_all, wanted_evaluators
from stages.evaluate.inputs import read_inputs
from stages.evaluate.protocols.evaluation import evaluate
from stages.evaluate.provenance import read_provenance
from stages.evaluate.records import write_matching, write_metrics, write_per_class
from stages.evaluate.report.overlays import Overlay, draw_overlays
from stages.evaluate.report.page import render_report
from stages.evaluate.report.pictures import encode_jpeg, join_panels

OUT = ARTIFACTS / "evaluate"


def write_scores(config: Config) -> None:
    """Score the predictions; write the records and the report, metrics.json last."""
    wanted, inputs, provenance = wanted_evaluators(config), read_inputs(), read_provenance(config)
    evaluation = evaluate(config, inputs)
    results = measure_all(wanted, config, inputs, evaluation)
    overlays = draw_overlays(config, inputs, evaluation)
    _write_overlays(overlays)
    report = render_report(config, inputs, evaluation, results, (provenance, overlays))
    write_atomically(OUT / "report.html", report.encode())
    write_atomically(OUT / "per_class.csv", write_per_class(inputs, evaluation).encode())
    matching = write_matching(inputs, evaluation, results.detail(CLUSTERING))
    write_atomically(OUT / "matching.json", encode_json(matching))
    metrics = write_metrics(config, inputs, evaluation, results, provenance)
    write_atomically(OUT / "metrics.json", encode_json(metrics))
    _print(metrics)
    _warn(inputs.naming.warning)
    if told := left_out(inputs.rejected_masks):
        _warn(f"masks that cannot be used are left out: {told}")


def _warn(warning: str) -> None:
    if warning:
        print(f"evaluate: {warning}", file=sys.stderr, flush=True)


def _print(metrics: dict[str, Any]) -> None:
    """One line of main scores per split, and one of what is said without labels."""
    main = {name for evaluator in EVALUATORS for name in evaluator.measures}
    for split in (*SPLITS, "checks"):
        if shown := [f"{name} {value:.1f}" for name, value in metrics.get(split, {}).items() if name in main]:
            print(f"{split}: {', '.join(shown)}")


def _write_overlays(overlays: list[Overlay]) -> None:
    out = OUT / "overlays"
    partial = out.with_name("overlays.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for overlay in overlays:
        write_atomically(partial / overlay.file_name, encode_jpeg(join_panels(overlay.panels)))
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
