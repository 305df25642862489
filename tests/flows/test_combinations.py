"""What a sweep expands to, what DVC is told for it, and which combinations wait for which."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from flows.recipes.composing import Recipe, compose, stage_names, write_params
from flows.sweeps.combinations import combination_dependencies, expand, experiment_overrides, stage_keys
from flows.workspace.graph import Node
from stages.core.errors import UserError
from tests.project.rooms import ROOT


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    write_params(Recipe("swav", "sample"))
    return tmp_path


def test_every_combination_once_and_each_complete() -> None:
    found = expand(["cluster.k=5,6", "pretrain.temperature=0.1,0.3"])
    assert {(one.sections["cluster"]["k"], one.sections["pretrain"]["temperature"]) for one in found} == {
        (5, 0.1),
        (5, 0.3),
        (6, 0.1),
        (6, 0.3),
    }
    assert len({one.name for one in found}) == len(found) == 4
    assert all(list(one.sections) == stage_names() for one in found)


def test_what_does_not_vary_is_no_column() -> None:
    first, second = expand(["cluster.k=5,6", "pretrain.training.epochs=3"])
    assert (first.labels, second.labels) == ({"cluster.k": "5"}, {"cluster.k": "6"})
    assert first.sections["pretrain"]["training"]["epochs"] == 3


def test_a_recipe_is_composed_with_its_values_on_the_data_set_of_params() -> None:
    (one,) = expand(["recipe=swav", "shared.seed=7"])
    assert one.sections == compose(Recipe("swav", "sample", ("shared.seed=7",)))
    (other,) = expand(["recipe=swav"], "imagenet_s50")
    assert other.sections == compose(Recipe("swav", "imagenet_s50"))


def test_a_name_stands_for_the_parameters_and_is_one_that_git_and_prefect_take() -> None:
    names = [one.name for one in expand(["recipe=swav", "pretrain.temperature=0.1,0.3"])]
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in names)
    assert names == [one.name for one in expand(["recipe=swav", "pretrain.temperature=0.1,0.3"])]


def test_told_to_dvc_the_changes_give_exactly_these_parameters(project: Path) -> None:
    (one,) = expand(["recipe=swav", "cluster.k=7", "index.classes=null"], "imagenet_s50")
    apply_overrides(project / "params.yaml", experiment_overrides(one.sections))
    from stages.core.config.params import read_params, validate_section

    written = read_params(project / "params.yaml")
    import importlib

    for stage, values in one.sections.items():
        config = importlib.import_module(f"stages.{stage}").Config
        assert validate_section(stage, written[stage], config, "").model_dump(mode="json") == values
    assert expand(["cluster.k=7"])[0].sections == one.sections


def test_a_section_of_another_method_replaces_the_old_one_whole(project: Path) -> None:
    sections = {**compose(Recipe("swav", "sample")), "pretrain": {"method": "none", "label": 'a "b" 1e-3', "n": 1e-06}}
    apply_overrides(project / "params.yaml", experiment_overrides(sections))
    assert yaml.safe_load((project / "params.yaml").read_text().replace("1e-06", "1.0e-06"))["pretrain"] == {
        "method": "none",
        "label": 'a "b" 1e-3',
        "n": 1e-06,
    }


def test_nothing_is_told_where_nothing_differs() -> None:
    assert experiment_overrides(compose(Recipe("swav", "sample"))) == []


@pytest.mark.parametrize(
    ("assignments", "dataset", "message"),
    [
        ([], "", "nothing to sweep over"),
        (["cluster.k"], "", "write section.field=a,b,c"),
        (["cluster.kk=1,2"], "", "cluster.kk"),
        (["cluster.k=1,many"], "", "cluster.k"),
        (["recipe=swav,swaw"], "", "did you mean 'swav'?"),
        (["recipe=swav"], "simple", "did you mean 'sample'?"),
        (["cluster.k=1,2"], "sample", "add recipe=NAME"),
    ],
)
def test_a_mistake_is_named(assignments: list[str], dataset: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        expand(assignments, dataset)
    assert message in str(caught.value)


def test_params_of_unknown_origin_need_a_data_set(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().partition("\n")[2])
    with pytest.raises(UserError, match="add --dataset NAME"):
        expand(["recipe=swav"])


NODES = [
    Node("index", "index", (), True),
    Node("left", "left", ("index",), True),
    Node("right", "right", ("index",), True),
    Node("end", "end", ("left", "right"), True),
]


def keys(left: int, right: int, end: int, data: str = "d") -> dict[str, str]:
    return stage_keys({"index": {}, "left": {"a": left}, "right": {"a": right}, "end": {"a": end}}, NODES, data)


def test_a_stage_has_the_same_key_exactly_if_all_that_leads_to_it_is_equal() -> None:
    one, other = keys(1, 1, 1), keys(2, 1, 1)
    assert {stage for stage in one if one[stage] == other[stage]} == {"index", "right"}
    assert not set(one.values()) & set(keys(1, 1, 1, "other data").values())


def test_each_waits_for_whoever_computes_first_what_they_share() -> None:
    # 0 has everything first; 1 a `right`, 2 a `left` of its own; 3 shares one with each.
    assert combination_dependencies([keys(1, 1, 1), keys(1, 2, 1), keys(2, 1, 1), keys(2, 2, 1)]) == [
        set(),
        {0},
        {0},
        {0, 1, 2},
    ]
    assert combination_dependencies([keys(1, 1, 1), keys(2, 2, 2, "other data")]) == [set(), set()]
