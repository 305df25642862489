"""`luss use`: recipes and values become a params.yaml that every stage accepts, or a message that names the mistake."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from flows.recipes.composing import Recipe, compose, stage_names, write_params
from flows.recipes.reading import RECIPES, recipe_names
from stages.core.config.networks import DeepLabV3Config, DeepLabV3PlusConfig, FPNConfig
from stages.core.config.params import load_section
from stages.core.errors import UserError
from stages.core.hashing import hash_folder
from tests.project.rooms import ROOT

WHOLE = [
    name for name in recipe_names("methods") if "\nextends: " not in (RECIPES / f"methods/{name}.yaml").read_text()
]
OWN_VALUES = ("sample", "small_photos", "imagenet_s50", "imagenet_s300", "voc")
"""Data sets that tell the recipes that extend another apart; on the others they are what they extend."""
EXTENDING = sorted(set(recipe_names("methods")) - set(WHOLE))
ALL = [*itertools.product(WHOLE, recipe_names("datasets")), *itertools.product(EXTENDING, OWN_VALUES)]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    for category in ("bird", "cat", "dog"):
        (tmp_path / "data/train" / category).mkdir(parents=True)
        (tmp_path / "data/train" / category / "1.jpg").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("method", "dataset"), ALL)
def test_every_stage_accepts_every_recipe_on_every_data_set(method: str, dataset: str) -> None:
    write_params(Recipe(method, dataset))
    for stage in stage_names():
        load_section(stage, importlib.import_module(f"stages.{stage}").Config)


@pytest.mark.parametrize(
    "path", sorted([*RECIPES.glob("methods/*.yaml"), *RECIPES.glob("datasets/*.yaml")]), ids=lambda path: path.stem
)
def test_a_recipe_says_first_what_it_is_and_how_to_run_it(path: Path) -> None:
    head = "\n".join(itertools.takewhile(lambda line: line.startswith("#"), path.read_text().splitlines()))
    assert "Command: luss use " in head
    assert "Paper:" in head or "What to expect:" in head


def test_committed_params_are_those_of_the_sample() -> None:
    written = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert written == compose(Recipe("luss", "sample"))
    assert list(written) == stage_names()


def test_a_whole_section_may_be_given_and_refer_to_others(project: Path) -> None:
    (project / "net.safetensors").write_bytes(b"\x80")
    values = (
        "saliency={method: token_cut, weights: '${pretrain.weights}', backbone: '${pretrain.backbone}'}",
        "pretrain.weights.path=net.safetensors",
        "pretrain.weights.origin=self_supervised_elsewhere",
        "pretrain.backbone.name=vit_small_patch8_224",
    )
    sections = compose(Recipe("frozen", "small_photos", values))
    saliency, pretrain = sections["saliency"], sections["pretrain"]
    assert saliency["method"] == "token_cut"
    assert saliency["weights"] == pretrain["weights"]
    assert saliency["weights"]["sha256"] == hashlib.sha256(b"\x80").hexdigest()
    assert saliency["backbone"]["name"] == "vit_small_patch8_224"
    assert saliency["facet"] == "keys", "what is left out is the default"
    attending = ("attend={method: cls_attention, block: 9}", "finetune.background=attention", values[-1])
    assert compose(Recipe("frozen", "small_photos", attending))["attend"] == {"method": "cls_attention", "block": 9}
    with pytest.raises(UserError, match="no such method"):
        compose(Recipe("frozen", "small_photos", ("saliency={method: token_kut}",)))


def test_a_plain_value_may_refer_to_another() -> None:
    values = ("shared.classes=7", "cluster.k=${shared.classes}", "pretrain.training.seed=${cluster.k}")
    sections = compose(Recipe("swav", "sample", values))
    assert (sections["cluster"]["k"], sections["pretrain"]["training"]["seed"]) == (7, 7)


def test_values_override_recipes_also_inside_lists() -> None:
    values = (
        "pretrain.training.epochs=3",
        "pretrain.views.crops.1.size=32",
        "pretrain.training.optimizer.base_lr=1e-3",
        "extract.splits=[train, test]",
    )
    sections = compose(Recipe("swav", "sample", values))
    assert sections["pretrain"]["training"]["epochs"] == 3
    assert sections["pretrain"]["views"]["crops"][1]["size"] == 32
    assert sections["pretrain"]["training"]["optimizer"]["base_lr"] == 0.001
    assert sections["extract"]["splits"] == ["train", "test"]


@pytest.mark.parametrize("dataset", ["camvid", "cityscapes27"])
def test_a_group_of_another_kind_takes_the_place_of_the_whole_group(dataset: str) -> None:
    decoder = "{kind: deeplabv3plus, form: vice, rates: [12, 24, 36], embedding: 128}"
    composed = compose(Recipe("vice", dataset, (f"pretrain.decoder={decoder}",)))["pretrain"]["decoder"]
    expected = DeepLabV3PlusConfig(form="vice", rates=(12, 24, 36), embedding=128)
    assert composed == expected.model_dump(mode="json")
    kept = compose(Recipe("vice", "camvid", ("pretrain.decoder={channels: 9}",)))["pretrain"]["decoder"]
    assert kept == {"kind": "fpn", "channels": 9, "last_norm": True}, "the same kind keeps its other fields"


def test_a_shared_value_reaches_every_section_that_uses_it() -> None:
    sections = compose(Recipe("swav", "sample", ("shared.seed=7", "shared.classes=12")))
    assert sections["pretrain"]["training"]["seed"] == sections["cluster"]["seed"] == 7
    assert sections["cluster"]["k"] == 12


def test_a_data_set_recipe_may_count_the_category_folders(project: Path) -> None:
    assert compose(Recipe("swav", "small_photos"))["cluster"]["k"] == 3
    for name in (".ipynb_checkpoints", "@eaDir"):
        (project / "data/train" / name).mkdir()
        (project / "data/train" / name / "a.png").touch()
    counted = compose(Recipe("swav", "small_photos"))
    assert (counted["cluster"]["k"], counted["index"]["classes"]) == (3, 3)
    (project / "data/train/empty").mkdir()
    assert compose(Recipe("swav", "small_photos"))["cluster"]["k"] == 4
    given = compose(Recipe("swav", "small_photos", ("shared.classes=7",)))
    assert (given["cluster"]["k"], given["index"]["classes"]) == (7, None)
    free = compose(Recipe("swav", "small_photos", ("index.classes=null",)))
    assert (free["cluster"]["k"], free["index"]["classes"]) == (4, None)
    for name in ("empty", "bird"):
        shutil.rmtree(project / "data/train" / name)
    shutil.rmtree(project / "data/train/cat")
    with pytest.raises(UserError, match=r"found 1 category folders .* shared\.classes=N"):
        compose(Recipe("swav", "small_photos"))


def test_a_recipe_that_extends_another_says_only_what_differs(project: Path) -> None:
    swav, simclr = compose(Recipe("swav", "sample")), compose(Recipe("simclr", "sample"))
    same = [stage for stage in swav if stage not in ("pretrain", "extract")]
    assert [simclr[stage] for stage in same] == [swav[stage] for stage in same], "the variants of swav too"
    assert "prototypes" not in simclr["pretrain"], "another method takes the whole section's place"
    (project / "mine.yaml").write_text(
        "extends: swav\npretrain: {prototypes: 7}\nvariants: {sample: {cluster: {k: 4}}}"
    )
    mine = compose(Recipe("mine.yaml", "sample"))
    expected = {**swav, "pretrain": {**swav["pretrain"], "prototypes": 30}, "cluster": {**swav["cluster"], "k": 4}}
    assert mine == expected, "a variant of the extended recipe counts before its own section"
    (project / "wrong.yaml").write_text("extends: swaw")
    with pytest.raises(UserError, match=r"no such method recipe .* 'swaw' \(did you mean 'swav'"):
        compose(Recipe("wrong.yaml", "sample"))


def test_a_variant_belongs_to_its_data_set() -> None:
    large, small = compose(Recipe("swav", "imagenet_s300")), compose(Recipe("swav", "imagenet_s50"))
    assert (large["pretrain"]["prototypes"], small["pretrain"]["prototypes"]) == (3000, 500)
    assert (large["pretrain"]["training"]["epochs"], small["pretrain"]["training"]["epochs"]) == (100, 200)


@pytest.mark.parametrize(("split", "threshold"), [("50", 0.41), ("300", 0.40), ("919", 0.37)])
def test_recipes_on_imagenet_s_have_the_values_of_the_authors_code(split: str, threshold: float) -> None:
    """Training with SwAV's 0.228; PASS's threshold by split; semi-supervised labels at 28 pixels, norms not decayed."""
    composed = {
        name: compose(Recipe(name, f"imagenet_s{split}")) for name in ("swav", "luss", "pass", "semi_supervised")
    }
    views = [composed[name]["pretrain"]["views"] for name in ("swav", "luss", "pass")]
    for each in (*views, composed["pass"]["attend"]["views"]):
        assert (each["training_std"][0], each["std"][0]) == (0.228, 0.229)
    assert composed["pass"]["finetune"]["views"]["training_std"] is None
    assert composed["pass"]["finetune"]["head_init"] == "fan_out"
    assert composed["pass"]["pseudolabel"]["foreground"]["value"] == threshold
    assert composed["pass"]["pseudolabel"]["foreground"]["rule"] == "otsu", "without labels"
    semi = composed["semi_supervised"]["finetune"]
    assert semi["views"]["crops"][0]["size"] * semi["label_scale"] == 28
    assert semi["by_doubling"]
    assert not semi["training"]["optimizer"]["decay_norm_and_bias"]


def test_writing_says_what_changed_and_how_it_was_written(project: Path) -> None:
    assert write_params(Recipe("swav", "sample")) == stage_names()
    assert write_params(Recipe("swav", "sample")) == []
    assert write_params(Recipe("swav", "sample", ("cluster.k=11",))) == ["cluster"]
    assert (project / "params.yaml").read_text().startswith("# Written by: luss use swav sample cluster.k=11\n")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe("swaw", "sample"), "no such method recipe (nor a path to a .yaml file): 'swaw' (did you mean 'swav'?)"),
        (
            Recipe("swav", "simple"),
            "no such data set recipe (nor a path to a .yaml file): 'simple' (did you mean 'sample'?)",
        ),
        (Recipe("mine.yaml", "sample"), "mine.yaml: no such recipe file"),
        (
            Recipe("swav", "sample", ("pretrian.training.epochs=3",)),
            "no such section 'pretrian' (did you mean 'pretrain'?)",
        ),
        (
            Recipe("swav", "sample", ("pretrain.temprature=3",)),
            "pretrain.temprature = 3: no such field (did you mean 'temperature'?)",
        ),
        (Recipe("swav", "sample", ("pretrain.training.epochs=many",)), "pretrain.training.epochs = 'many'"),
        (Recipe("swav", "sample", ("shared.clases=3",)), "shares no 'clases' (did you mean 'classes'?)"),
        (Recipe("swav", "sample", ("pretrain",)), "write section.field=value"),
        (Recipe("swav", "sample", ("pretrain.training.epochs",)), "write section.field=value"),
        (Recipe("swav", "sample", ("saliency.method=rc",)), "a method is never changed alone"),
        (Recipe("swav", "sample", ("pretrain.views.crops.9.size=3",)), "out of range"),
        (Recipe("swav", "sample", ("extract.splits=[train",)), "'extract.splits=[train': the value is no YAML"),
    ],
)
def test_a_mistake_is_named(project: Path, recipe: Recipe, message: str) -> None:
    with pytest.raises(UserError) as caught:
        write_params(recipe)
    assert message in str(caught.value)
    assert not (project / "params.yaml").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("pretrain: [", "not a valid recipe"),
        ("- pretrain", "one section per stage"),
        ("pretrian: {method: none}", "no such section 'pretrian' (did you mean 'pretrain'?)"),
        ("pretrain: {method: none, seed: '${shared.sed}'}", "shared.sed"),
        ("index: {method: folder}", "no such section 'index'"),
    ],
)
def test_a_mistake_in_a_recipe_of_ones_own_is_named(project: Path, content: str, message: str) -> None:
    (project / "mine.yaml").write_text(content)
    with pytest.raises(UserError) as caught:
        compose(Recipe("mine.yaml", "sample"))
    assert message in str(caught.value)


def test_a_recipe_in_another_encoding_is_named(project: Path) -> None:
    (project / "mine.yaml").write_bytes("# é\npretrain: {method: none}".encode("utf-16"))
    with pytest.raises(UserError, match=r"^mine\.yaml: not a text in UTF-8"):
        compose(Recipe("mine.yaml", "sample"))


def test_outside_a_project_it_says_so(project: Path) -> None:
    (project / "dvc.yaml").unlink()
    with pytest.raises(UserError, match=r"dvc\.yaml: no such file"):
        compose(Recipe("swav", "sample"))


WEIGHTS = "pretrain.weights={{path: '{}', origin: supervised}}"


def test_a_file_inside_the_project_is_pinned_by_its_content(project: Path) -> None:
    (project / "w.pth").write_bytes(b"\x80weights")
    written = compose(Recipe("swav", "sample", (WEIGHTS.format(project / "w.pth"),)))["pretrain"]["weights"]
    pinned = {"path": "w.pth", "sha256": hashlib.sha256(b"\x80weights").hexdigest(), "origin": "supervised"}
    assert written == {**pinned, "license": "", "branch": None}


def test_a_file_outside_is_written_absolute(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("elsewhere") / "w.pth"
    file.write_bytes(b"\x80weights")
    assert compose(Recipe("swav", "sample", (WEIGHTS.format(file),)))["pretrain"]["weights"]["path"] == str(file)


def test_a_missing_or_changed_file_is_refused(project: Path) -> None:
    with pytest.raises(UserError, match=r"pretrain\.weights\.path = 'w\.pth': no such file"):
        compose(Recipe("swav", "sample", (WEIGHTS.format("w.pth"),)))
    (project / "w.pth").write_bytes(b"\x80weights")
    with pytest.raises(UserError, match="another content than its sha256 says"):
        compose(Recipe("swav", "sample", (WEIGHTS.format("w.pth"), "pretrain.weights.sha256=abc")))


@pytest.mark.parametrize("content", [b"notes on weights\n" * 40, b"", b"<!doctype html>", b"version https://git-lfs"])
def test_what_cannot_be_weights_is_refused_when_typed(project: Path, content: bytes) -> None:
    (project / "w.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"pretrain\.weights\.path = '.*w\.pth': is (empty|neither safetensors)"):
        compose(Recipe("swav", "sample", (WEIGHTS.format("w.pth"),)))


@pytest.mark.parametrize("suffix", ["pth", "old.pth", "safetensors"])
def test_every_form_of_weights_is_taken(project: Path, suffix: str) -> None:
    file = project / f"w.{suffix}"
    tensors = {"weight": torch.ones(2)}
    if suffix == "safetensors":
        save_file(tensors, file)
    else:
        torch.save(tensors, file, _use_new_zipfile_serialization=suffix == "pth")
    assert compose(Recipe("swav", "sample", (WEIGHTS.format(file),)))["pretrain"]["weights"]["path"] == file.name


def test_a_folder_of_maps_is_pinned_as_the_stage_pins_it(project: Path) -> None:
    (project / "maps").mkdir()
    (project / "maps" / "photo.png").write_bytes(b"gray")
    (project / "mine.yaml").write_text(
        (RECIPES / "methods" / "swav.yaml")
        .read_text()
        .replace("saliency:\n  method: none", "saliency:\n  method: external\n  maps: {path: maps}")
    )
    maps = compose(Recipe("mine.yaml", "sample"))["saliency"]["maps"]
    assert maps == {"path": "maps", "sha256": hash_folder(project / "maps")}


def test_a_decoder_of_another_kind_keeps_none_of_the_default_ones_fields(project: Path) -> None:
    def decoder(given: str) -> Any:
        return compose(Recipe("maskcontrast", "imagenet_s50", (given,)))["pretrain"]["decoder"]

    other = decoder("pretrain.decoder={kind: fpn, channels: 24}")
    assert other == FPNConfig(channels=24).model_dump(mode="json")
    assert decoder("pretrain.decoder.channels=24") == DeepLabV3Config(channels=24).model_dump(mode="json")
