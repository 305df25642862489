"""The whole pipeline in a clone: what runs, what does not, and what a change reaches."""

from __future__ import annotations

import importlib
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.core.artifacts.categories import centroid_hash
from stages.core.config.params import Params, models_by_method
from tests.project.processes import assert_gone, family, wait_until
from tests.project.rooms import stage_folders
from tests.project.workspace import CATEGORIES, Workspace

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("end_to_end")]

Section = dict[str, Any]
Change = Callable[[Section], Section]


def replace(**fields: object) -> Change:
    return lambda section: {**section, **fields}


def within(group: str, **fields: object) -> Change:
    return lambda section: {**section, group: {**section[group], **fields}}


def method(stage: str, name: str, **fields: object) -> Change:
    """Another method with its defaults, apart from some fields."""
    return lambda section: models(stage)[name].model_validate(fields).model_dump(mode="json")


def models(stage: str) -> dict[str, type[Params]]:
    return models_by_method(importlib.import_module(f"stages.{stage}").Config)


CHANGES: dict[str, Change] = {
    "index": method("index", "folder"),
    "superpixels": method("superpixels", "slic"),
    "saliency": method("saliency", "rc"),
    "pretrain": within("training", seed=1),
    "attend": method(
        "attend",
        "pixel_attention",
        views={"crops": [{"count": 2, "size": 32, "scale": [0.3, 1.0]}]},
        prototypes=6,
        queue=0,
        training={"epochs": 1, "batch_size": 4},
    ),
    "extract": replace(crop=32),
    "cluster": replace(normalize=False),
    "pseudolabel": method("pseudolabel", "region", regions="saliency_maps"),
    "finetune": within("training", seed=1),
    "predict": replace(splits=["test"]),
    "evaluate": replace(threshold="fixed"),
}
"""For every stage that has anything to choose, a change that must change its bytes."""
FIRST = "index"
"""Its change reaches every stage."""


def test_everything_was_scored(finished: Workspace) -> None:
    metrics = json.loads((finished.path / "artifacts/evaluate/metrics.json").read_text())
    assert 0 <= metrics["test"]["mIoU"] <= 100
    assert 0 <= metrics["train"]["NMI"] <= 100
    assert (finished.path / "artifacts/evaluate/report.html").read_text().startswith("<!")


def test_nothing_runs_twice(finished: Workspace) -> None:
    done = finished.run("-m", "dvc", "repro")
    assert "Data and pipelines are up to date." in done.stdout


def test_the_demo_prints_the_scores_and_where_the_report_lies(finished: Workspace) -> None:
    done = finished.run("-m", "flows", "demo")
    assert done.returncode == 0, done.stdout
    metrics = json.loads((finished.path / "artifacts/evaluate/metrics.json").read_text())
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("│ mIoU "))
    assert f"{metrics['test']['mIoU']:.1f}" in row
    assert "artifacts/evaluate/report.html" in done.stdout
    assert "Traceback" not in done.stdout


def test_artifacts_hold_no_path_and_nothing_partial(finished: Workspace) -> None:
    artifacts = [path for path in (finished.path / "artifacts").rglob("*") if path.is_file()]
    assert artifacts
    for path in artifacts:
        assert str(finished.path).encode() not in path.read_bytes(), path
        assert ".partial" not in str(path)


def test_every_stage_with_a_choice_is_changed() -> None:
    fixed = {stage for stage in stage_folders() if not has_choice(stage)}
    assert set(CHANGES) == stage_folders() - fixed


def has_choice(stage: str) -> bool:
    choices = models(stage)
    return len(choices) > 1 or any(set(model.model_fields) - {"method", "supervision"} for model in choices.values())


@pytest.mark.parametrize("stage", sorted(set(CHANGES) - {FIRST}))
def test_a_change_is_of_its_stage_alone_and_reaches_what_reads_it(finished: Workspace, stage: str) -> None:
    before = finished.lock()
    finished.set_section(stage, CHANGES[stage](finished.section(stage)))
    assert finished.changed() == {stage}
    assert finished.repro("--single-item", stage) == {stage: "ran"}
    after = finished.lock()
    assert before[stage]["outs"] != after[stage]["outs"]
    outs = [out["path"] for out in after[stage]["outs"]]
    assert finished.changed() == {name for name, entry in before.items() if reads(entry, outs)}


def test_a_change_reruns_the_stage_and_what_it_reaches(finished: Workspace) -> None:
    before, section = finished.lock(), finished.section(FIRST)
    finished.set_section(FIRST, CHANGES[FIRST](section))
    did = finished.repro()
    assert did[FIRST] == "ran"
    assert_only_what_changed_ran(did, before, finished.lock(), FIRST)
    finished.set_section(FIRST, section)
    assert set(finished.repro().values()) <= {"restored", "unchanged"}
    assert {name: entry["outs"] for name, entry in before.items()} == {
        name: entry["outs"] for name, entry in finished.lock().items()
    }


def test_a_change_that_leaves_the_bytes_equal_stops_there(finished: Workspace) -> None:
    before, section = finished.lock(), finished.section("cluster")
    finished.set_section("cluster", {**section, "iterations": section["iterations"] + 5})
    did = finished.repro()
    assert before["cluster"]["outs"] == finished.lock()["cluster"]["outs"]
    assert {stage for stage, what in did.items() if what != "unchanged"} == {"cluster"}
    assert did["cluster"] == "ran"


def test_what_a_person_made_of_the_clusters_runs_pseudolabel_and_what_follows(finished: Workspace) -> None:
    names = {"centroids": centroid_hash(finished.path / "artifacts/cluster"), "categories": [{"ids": [1, 3]}]}
    (finished.path / "names.yaml").write_text(yaml.safe_dump(names))
    assert {stage for stage, what in finished.repro().items() if what != "unchanged"} == {"evaluate"}
    applied = finished.run("-m", "flows", "names", "--apply")
    assert applied.stdout == "Changed: pseudolabel. Run it with: dvc repro\n", applied.stderr
    did = finished.repro()
    assert {stage for stage, what in did.items() if what == "ran"} == {"pseudolabel", "finetune", "predict", "evaluate"}
    metrics = json.loads((finished.path / "artifacts/evaluate/metrics.json").read_text())
    assert metrics["protocol"]["strict"] is False


def assert_only_what_changed_ran(did: dict[str, str], before: Section, after: Section, changed: str) -> None:
    """A stage ran exactly if it is the changed one or the hash of one of its inputs is another one now."""
    for stage, entry in after.items():
        reached = stage == changed or hashes(entry) != hashes(before[stage])
        assert (did[stage] != "unchanged") == reached, (stage, did)


def reads(entry: Section, outs: list[str]) -> bool:
    """Whether a stage's inputs are among outs, or files of these."""
    return any(dep == out or dep.startswith(f"{out}/") for dep in hashes(entry) for out in outs)


def hashes(entry: Section) -> dict[str, str]:
    return {dep["path"]: dep["md5"] for dep in entry["deps"]}


def test_the_names_of_category_folders_do_not_reach_the_weights(finished: Workspace) -> None:
    learnt = ["artifacts/pretrain/model.safetensors", "artifacts/cluster/centroids.parquet"]
    before = [(finished.path / name).read_bytes() for name in learnt]
    rename_categories(finished.path / "data", {name: f"n{number}" for number, name in enumerate(CATEGORIES)})
    did = finished.repro("cluster")
    assert did["pretrain"] == did["cluster"] == "ran"
    assert [(finished.path / name).read_bytes() for name in learnt] == before
    rename_categories(finished.path / "data", {f"n{number}": name for number, name in enumerate(CATEGORIES)})
    assert "ran" not in finished.repro().values()


def rename_categories(data: Path, names: dict[str, str]) -> None:
    for split in data.iterdir():
        for old, new in names.items():
            (split / old).rename(split / new)


def test_a_method_changed_alone_is_refused_with_a_message(finished: Workspace) -> None:
    section = finished.section("pretrain")
    finished.set_section("pretrain", {**section, "method": "none"})
    done = finished.run("-m", "dvc", "repro")
    finished.set_section("pretrain", section)
    assert done.returncode != 0
    assert "params.yaml: section 'pretrain' is not valid" in done.stdout
    assert "pretrain.prototypes = 6: no such field" in done.stdout
    assert "luss use METHOD DATASET" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_run_that_was_stopped_ends_in_the_same_bytes(finished: Workspace) -> None:
    section = finished.section("pretrain")
    finished.set_section("pretrain", {**section, "training": {**section["training"], "epochs": 40}})
    with finished.start("-m", "flows", "demo") as (process, log):
        wait_until(lambda: "[progress]" in log.read_text().partition("Running stage 'pretrain'")[2], process, log=log)
        started = family(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert_gone(started)
        assert "goes on from where it was" in log.read_text()
    finished.repro("pretrain")
    resumed = finished.outs()["pretrain"]
    finished.repro("--force", "--single-item", "pretrain")
    assert finished.outs()["pretrain"] == resumed
