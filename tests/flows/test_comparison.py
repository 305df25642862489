"""The tables of sweeps and benchmarks, worked out by hand."""

from __future__ import annotations

import csv
import io

from flows.sweeps.combinations import Combination
from flows.sweeps.comparison import benchmark_rows, sweep_rows, to_csv, to_markdown
from flows.sweeps.experiments import Result, count_stage_runs
from flows.workspace.monitor import Outcome
from flows.workspace.timing import StageSpeed


def result(seed: int, miou: float | None, stage_status: dict[str, str] | None = None, **speeds: StageSpeed) -> Result:
    metrics = {} if miou is None else {"test": {"mIoU": miou}, "train": {"NMI": None}}
    outcome = Outcome("failed" if miou is None else "ran")
    stage_status = stage_status or dict.fromkeys(("index", "pretrain"), "ran")
    return Result(Combination({"seed": str(seed)}, {}), outcome, stage_status, speeds, metrics)


def test_a_benchmark_gives_mean_and_sample_deviation_beside_the_paper() -> None:
    speeds = {"index": StageSpeed(60), "pretrain": StageSpeed(120, 50.0)}
    groups = {
        "SwAV": [result(0, 10, **speeds), result(1, 14, **speeds)],
        "floor": [result(0, 3, **speeds), result(1, None)],
    }
    first, second = benchmark_rows(groups, ["test.mIoU", "train.NMI"], {"SwAV": {"test.mIoU": 21.0}})
    # (10 + 14) / 2, and the root of ((10 - 12)² + (14 - 12)²) / (2 - 1).
    assert first["test.mIoU"] == "12.00 ± 2.83"
    assert (first["test.mIoU (paper)"], second["test.mIoU (paper)"]) == ("21.00", "")
    assert (first["seeds"], second["seeds"]) == (2, 1)
    assert second["test.mIoU"] == "3.00"
    assert (first["minutes per seed"], first["pretrain images/s"]) == ("3.0", "50.00 ± 0.00")
    assert not any(name.startswith("train.NMI") for name in first)


def test_time_is_marked_as_incomplete_where_a_stage_was_never_timed() -> None:
    (row,) = sweep_rows([result(0, 1, pretrain=StageSpeed(30))])
    assert row["minutes"] == "≥ 0.5"


def test_a_sweep_has_one_row_per_combination() -> None:
    shared = {"index": "cached", "pretrain": "ran"}
    rows = sweep_rows([result(0, 10.126, {"index": "ran", "pretrain": "ran"}), result(1, None, shared)])
    assert [row["test.mIoU"] for row in rows] == ["10.13", ""]
    assert [row["stages run"] for row in rows] == ["2 of 2", "1 of 2"]
    assert rows[1]["experiment"] == "failed"


def test_runs_are_counted_by_stage() -> None:
    shared = {"index": "cached", "pretrain": "ran"}
    assert count_stage_runs([result(0, 1), result(1, 1, shared), result(2, 1, shared)]) == {"index": 1, "pretrain": 3}


def test_the_table_as_text() -> None:
    rows = [{"row": "a, b", "F": "1.00 ± 0.50"}, {"row": "c", "F": "2.00"}]
    assert to_markdown(rows).splitlines() == ["| row | F |", "| --- | --- |", "| a, b | 1.00 ± 0.50 |", "| c | 2.00 |"]
    assert list(csv.DictReader(io.StringIO(to_csv(rows)))) == [
        {"row": "a, b", "F": "1.00", "F deviation": "0.50"},
        {"row": "c", "F": "2.00", "F deviation": ""},
    ]


def scored(row: str, miou: float, title: str, **caveats: str) -> Result:
    protocol = {"name": "scenes", "title": title, "caveats": caveats}
    found = {"mIoU": miou, "cat_cos": 1.0}
    metrics = {"validation": found, "test": found, "train": {"accuracy": 50.0}, "protocol": protocol}
    return Result(Combination({"row": row}, {}), Outcome("ran"), {}, {}, metrics)


def test_rows_of_different_protocols_never_share_a_column() -> None:
    own, val = "scenes, matched on train", "scenes, matched on validation"
    groups = {
        "ours": [scored("ours", 10, own), scored("ours", 12, own)],
        "as they": [scored("as they", 20, val, matched_on_scored_split="validation", many_to_one="27 of 19")],
    }
    names = ["validation.mIoU", "validation.cat_cos", "train.accuracy"]
    ours, theirs = benchmark_rows(groups, names, {"as they": {"validation.mIoU": 21.0}})
    assert "validation.mIoU" not in ours
    assert (ours[f"validation.mIoU [{own}]"], ours[f"validation.mIoU [{val}]"]) == ("11.00 ± 1.41", "")
    assert (theirs[f"validation.mIoU [{own}]"], theirs[f"validation.mIoU [{val}]"]) == ("", "20.00")
    assert (ours["validation.mIoU (paper)"], theirs["validation.mIoU (paper)"]) == ("", "21.00")
    assert (ours["validation.cat_cos"], theirs["train.accuracy"]) == ("1.00 ± 0.00", "50.00")
    assert (ours["caveats"], theirs["caveats"]) == ("", "matched on scored split, many to one")
    alone = benchmark_rows({"ours": groups["ours"]}, names, {})
    assert alone[0]["validation.mIoU"] == "11.00 ± 1.41"


def test_a_sweep_over_protocols_keeps_them_apart() -> None:
    first, second = sweep_rows([scored("a", 10, "greedy, matched on train"), scored("b", 20, "given")])
    assert [first["test.mIoU [greedy, matched on train]"], second["test.mIoU [given]"]] == ["10.00", "20.00"]
    assert [first["test.mIoU [given]"], second["test.mIoU [greedy, matched on train]"]] == ["", ""]
