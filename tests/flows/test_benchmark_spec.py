"""Which rows a benchmark has, and what it says to mistakes."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

import pytest

from flows.recipes.composing import Recipe, compose
from flows.recipes.reading import RECIPES
from flows.sweeps.benchmark_spec import BENCHMARKS, benchmark_names, read_benchmark_spec
from stages.core.errors import UserError
from stages.evaluate.report.published import find_published
from tests.project.rooms import ROOT


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", benchmark_names())
def test_every_list_is_valid_and_says_how_to_run_it(name: str) -> None:
    rows = read_benchmark_spec(name).combinations("sample", 1)
    assert len({one.name for row in rows.values() for one in row}) == len(rows)
    head = "\n".join(
        itertools.takewhile(lambda line: line.startswith("#"), (BENCHMARKS / f"{name}.yaml").read_text().splitlines())
    )
    assert f"Command: luss benchmark {name} " in head


def test_recipes_are_rows_and_seeds_are_combinations() -> None:
    rows = read_benchmark_spec("swav").combinations("sample", 2)
    assert [one.sections for one in rows["swav"]] == [
        compose(Recipe("swav", "sample", (f"shared.seed={seed}",))) for seed in range(2)
    ]


def test_a_list_of_ones_own(project: Path) -> None:
    (project / "mine.yaml").write_text("rows: [{row: few, recipe: swav, values: [cluster.k=3], paper: {test.F: 50}}]")
    spec = read_benchmark_spec("mine.yaml")
    assert spec.combinations("sample", 1)["few"][0].sections["cluster"]["k"] == 3
    assert spec.paper == {"few": {"test.F": 50.0}}


def test_published_numbers_are_looked_up_by_name(project: Path) -> None:
    luss = read_benchmark_spec("methods").paper["LUSS"]
    assert (luss["test.mIoU"], luss["train.NMI"]) == (39.4, 75.1)  # LUSS, table 2, "Ours-D"
    assert read_benchmark_spec("table5").paper["+ Shape prior"]["validation.view_cos"] == 90.64
    (project / "mine.yaml").write_text("rows: [{row: one, recipe: swav, paper: imagenet_s50/SwaV}]")
    with pytest.raises(
        UserError,
        match=r"mine.yaml: rows.0.paper: .*'SwaV' is unknown \(did you mean 'SwAV'\?\); there are: .*PASS",
    ):
        read_benchmark_spec("mine.yaml")


@pytest.mark.parametrize(
    ("recipe", "rows"),
    {
        "swav": ["imagenet_s50/SwAV"],
        "luss": ["imagenet_s50/LUSS, decoder", "imagenet_s50/LUSS, stage 4", "imagenet_s300/LUSS, decoder"],
        "pass": ["imagenet_s50/PASS", "imagenet_s300/PASS", "imagenet_s919/PASS"],
        "maskcontrast": ["imagenet_s50/MaskContrast"],
        "supervised": ["imagenet_s50/supervised"],
        "supervised_images": ["imagenet_s50/supervised", "imagenet_s300/supervised"],
        "rotation": ["imagenet_s50/Rotation", "imagenet_s300/Rotation"],
        "npid": ["imagenet_s50/NPID", "imagenet_s300/NPID"],
        "simclr": ["imagenet_s50/SimCLR", "imagenet_s300/SimCLR"],
        "moco_v2": ["imagenet_s50/MoCo v2", "imagenet_s300/MoCo v2"],
        "deepcluster": ["imagenet_s50/DeepCluster", "imagenet_s300/DeepCluster"],
        "odc": ["imagenet_s50/ODC", "imagenet_s300/ODC"],
        "pcl": ["imagenet_s50/PCL", "imagenet_s300/PCL"],
        "byol": ["imagenet_s50/BYOL", "imagenet_s300/BYOL"],
        "pixpro": ["imagenet_s50/PixelPro", "imagenet_s300/PixelPro"],
    }.items(),
)
def test_heads_of_recipes_expect_what_was_published(recipe: str, rows: list[str]) -> None:
    lines = (RECIPES / f"methods/{recipe}.yaml").read_text().splitlines()
    expected = next(line for line in lines if line.startswith("# What to expect (published"))
    assert re.findall(r"\b\d+\.\d\b", expected) == [f"{find_published(row)['test.mIoU']}" for row in rows]


def test_a_protocol_takes_over_behind_the_representation(project: Path) -> None:
    (project / "mine.yaml").write_text(
        "rows: [{row: own, recipe: luss}, "
        "{row: other, recipe: luss, protocol: {recipe: swav, values: [finetune.score=normalized_logit]}}]"
    )
    rows = read_benchmark_spec("mine.yaml").combinations("sample", 1)
    luss = compose(Recipe("luss", "sample"))
    swav = compose(Recipe("swav", "sample", ("finetune.score=normalized_logit",)))
    before = ["index", "superpixels", "saliency", "pretrain", "attend"]
    assert rows["own"][0].sections == luss
    assert rows["other"][0].sections == {stage: (luss if stage in before else swav)[stage] for stage in luss}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("rows: []", "mine.yaml: rows:"),
        ("rows: [{row: a, recipe: swav, value: [b]}]", "mine.yaml: rows.0.value:"),
        ("rows: [{row: a, recipe: swav}, {row: a, recipe: swav}]", "two rows have the same name"),
        ("rows: [", "mine.yaml: not a valid list of rows"),
    ],
)
def test_a_mistake_in_a_list_is_named(project: Path, content: str, message: str) -> None:
    (project / "mine.yaml").write_text(content)
    with pytest.raises(UserError) as caught:
        read_benchmark_spec("mine.yaml")
    assert message in str(caught.value)


@pytest.mark.parametrize(("what", "message"), [("swaw", "'swaw': no such benchmark"), ("gone.yaml", "gone.yaml")])
def test_an_unknown_benchmark_is_named(what: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_benchmark_spec(what)
    assert message in str(caught.value)
