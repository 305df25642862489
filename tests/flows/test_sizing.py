"""`folder` is sized by the number and size of its photographs; what a person gives stays."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli.app import app
from flows.cli.use import QUICK
from flows.recipes.composing import Recipe, compose_sized
from flows.recipes.measuring import measure_photographs, part
from flows.recipes.setting import list_resets, set_values
from stages.core.errors import UserError
from stages.index.methods.folder import FolderConfig
from tests.project.rooms import ROOT


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "dvc.yaml", ".")


def draw(count: int, size: tuple[int, int] = (64, 48)) -> None:
    Path("data/sub").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", size).save(f"data/sub/{number:06}.png")


def compose(method: str, *values: str) -> dict[str, dict]:
    return compose_sized(Recipe(method, "folder", values)).sections


@pytest.mark.parametrize("count", [150, 1000, 4000, 100_000])
def test_steps_grow_as_the_root_of_the_number(count: int) -> None:
    sections = compose("swav", f"shared.photographs={count}")
    for stage, known in (("pretrain", 800), ("finetune", 400)):
        steps = sections[stage]["training"]["epochs"] * (count // 50)
        assert steps == pytest.approx(max(known * math.sqrt(count / 1000), 120), abs=count / 50)
    rate = sections["pretrain"]["training"]["optimizer"]["warmup_epochs"] / sections["pretrain"]["training"]["epochs"]
    assert rate == pytest.approx(2 / 40, abs=1e-3), "the warm-up stays the same share"


def test_few_photographs_are_one_batch_and_take_120_steps() -> None:
    draw(9)
    training = compose("swav")["finetune"]["training"]
    assert (training["batch_size"], training["epochs"]) == (9, 120)


def test_what_counts_epochs_follows_them() -> None:
    few, many = (compose("pcl", f"shared.photographs={count}")["pretrain"] for count in (1000, 100_000))
    assert (few["training"]["epochs"], few["warmup_epochs"]) == (40, 10)
    assert (many["training"]["epochs"], many["warmup_epochs"]) == (4, 1)


def test_sizes_follow_the_photographs_and_the_working_size() -> None:
    draw(10)
    sections = compose("luss")
    assert sections["extract"]["resize"] == sections["pseudolabel"]["resize"] == 48, "nothing is enlarged"
    assert sections["finetune"]["views"]["crops"][0]["size"] == part(48, 8, 9) == 48
    small = compose("swav", "shared.resize=80")
    assert (small["extract"]["crop"], small["finetune"]["short_side"]) == (64, 112)
    views = compose("vice", "shared.resize=80")["pretrain"]["views"]
    assert (views["side"], views["size"]) == ([64, 64], 32), "112 and 64 of 144"
    large = compose("swav", "shared.photographs=64431", "shared.short_side=375")
    assert (large["extract"]["resize"], large["extract"]["crop"]) == (256, 224), "as LUSS on ImageNet-S50"


def test_what_is_given_stays_and_is_named() -> None:
    draw(10)
    words = ["use", "swav", "folder", "shared.classes=5", "finetune.training.epochs=3"]
    told = CliRunner().invoke(app, words).output.splitlines()
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in told if line.startswith("  ")}
    assert rows["finetune.training.epochs"] == "3 given: 3 steps"
    assert rows["shared.classes"] == "5 given"
    assert rows["shared.photographs"] == "10 in data/, by names and headers; index reads each whole"
    assert rows["pretrain.training.epochs"] == "120 120 steps; 800 for 1,000 photographs"
    draw(60)
    assert set_values(["cluster.k=4"]) == ["cluster"], "luss set sizes nothing anew"
    assert list_resets(Recipe("swav", "folder", ("shared.classes=5",))) == [
        "finetune.training.epochs=3", "cluster.k=4",
    ]  # fmt: skip


def test_quick_takes_some_photographs_and_little_of_them() -> None:
    draw(8)
    used = CliRunner().invoke(app, ["use", "swav", "folder", "--quick", "index.limit=4"])
    told = {line.split()[0]: line.split(maxsplit=2)[2] for line in used.output.splitlines() if line.startswith("  ")}
    assert (told["shared.resize"], told["index.limit"]) == ("by --quick", "given")
    taken = [photo.path for photo in FolderConfig(limit=4).find().photographs]
    assert taken == [f"sub/{number:06}.png" for number in (0, 2, 4, 6)]
    assert "shared.photographs=4" in Path("params.yaml").read_text()
    refused = CliRunner().invoke(app, ["use", "swav", "sample", "--quick"]).exception
    assert isinstance(refused, UserError)
    assert "--quick: sample has sizes of its own" in str(refused)


@pytest.mark.parametrize("method", ["swav", "luss", "rotation", "maskcontrast", "sc_cam", "vice"])
@pytest.mark.parametrize("count", [20, 180, 300])
def test_quick_bounds_what_every_training_sees(method: str, count: int) -> None:
    measured = (f"shared.photographs={count}", "shared.short_side=375")
    sections, full = compose(method, *measured, *QUICK), compose(method, *measured, "shared.resize=80")
    for stage, section in sections.items():
        if (training := section.get("training")) is None:
            continue
        crops = section["views"].get("crops") or [{"count": 2, "size": 64}]
        pixels = sum(crop["count"] * crop["size"] ** 2 for crop in crops) * section.get("rounds", 1)
        batch, before = training["batch_size"], full[stage]["training"]
        steps, steps_before = (each["epochs"] * max(count // each["batch_size"], 1) for each in (training, before))
        # Whole epochs: half of one more at most.
        assert steps * batch * pixels <= 20e6 + max(count, batch) * pixels / 2
        has_steps = steps + count // batch / 2 >= 120 and batch >= 24
        assert has_steps or batch == min(24, before["batch_size"]) or steps == steps_before
        assert batch <= before["batch_size"]


def test_a_bound_leaves_what_is_given() -> None:
    training = compose("swav", "shared.photographs=180", "shared.megapixels=1", "pretrain.training.batch_size=50")
    assert training["pretrain"]["training"]["batch_size"] == 50
    assert compose("swav", "shared.photographs=180", "shared.megapixels=1", "pretrain.training.epochs=9")["pretrain"][
        "training"
    ]["epochs"] == 9  # fmt: skip


def test_half_the_effort_is_half_the_steps() -> None:
    sections = compose("swav", "shared.photographs=1000")
    half = compose("swav", "shared.photographs=1000", "shared.effort=0.5")
    assert half["pretrain"]["training"]["epochs"] * 2 == sections["pretrain"]["training"]["epochs"]


def test_a_hundred_thousand_photographs_are_counted_without_torch() -> None:
    """Names alone, and the headers of two hundred; broken ones among them are passed over, and not counted."""
    draw(20, (500, 375))
    for number in range(20, 4000):
        Path(f"data/sub/{number:06}.png").write_bytes(b"no photograph")
    code = (
        "import sys; from pathlib import Path; from flows.recipes.measuring import measure_photographs as measure\n"
        "print(*measure(Path('data')), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3801", "375", "False"]
    start = time.process_time()
    measure_photographs(Path("data"))
    assert time.process_time() - start < 1, "for 4,000; a hundred thousand take 25 times as long to list"


def test_what_is_empty_or_no_photograph_is_not_counted() -> None:
    draw(8)
    Path("data/empty.jpg").touch()
    Path("data/gone.jpg").symlink_to("nowhere.jpg")
    Path("data/page.jpg").write_text("<html>not found</html>")
    Path("data/notes.txt").write_text("of these")
    assert measure_photographs(Path("data")) == (8, 48)


def test_without_photographs_it_says_what_it_assumes() -> None:
    sizes = {size.key: size for size in compose_sized(Recipe("swav", "folder")).sizes}
    assert sizes["shared.photographs"].value == 1000
    assert "no photographs in data/ yet" in sizes["shared.photographs"].why
