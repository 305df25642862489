"""The segmenter for other programs: ONNX gives torch's labels, the hub's folder is loaded again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from stages.core.artifacts.categories import centroid_hash
from stages.core.artifacts.models import read_model
from stages.core.errors import UserError
from stages.core.nets.segmenter import restore_segmenter
from stages.predict import load_segmenter
from stages.predict.exports.model import export_model
from tests.fabricate import fabricate_backbone, fabricate_clusters
from tests.predict.varied import draw_blocks, fabricate_varied_segmenter

OUT = Path("out")


@pytest.mark.slow
def test_onnx_gives_the_labels_of_torch_at_any_size() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    fabricate_varied_segmenter(5)
    export_model("onnx", OUT)
    session = runtime.InferenceSession(OUT / "model.onnx", providers=["CPUExecutionProvider"])
    segmenter = restore_segmenter(*read_model("finetune"))
    for size in ((1, 3, 160, 213), (3, 3, 96, 320)):
        images = torch.rand(size, generator=torch.Generator().manual_seed(0)) * 4 - 2
        (found,) = session.run(None, {"images": images.numpy()})
        with torch.inference_mode():
            expected = segmenter(images).numpy()
        assert found.shape == expected.shape
        assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.999
        assert len(np.unique(found.argmax(1))) > 1


def test_the_hubs_folder_is_loaded_again_and_says_what_it_is() -> None:
    fabricate_varied_segmenter(3, 0.4)
    fabricate_clusters([0, 1, 2], ["train/a", "train/b", "train/c"], 3)
    names = {"centroids": centroid_hash(), "categories": [{"name": "dog | cat", "ids": [2, 3]}]}
    Path("names.yaml").write_text(yaml.safe_dump(names))
    Path("artifacts/evaluate").mkdir()
    metrics = {"test": {"mIoU": 12.345}, "protocol": {"name": "imagenet_s", "match": "validation", "strict": True}}
    Path("artifacts/evaluate/metrics.json").write_text(json.dumps(metrics))
    export_model("hf", OUT)
    photograph = draw_blocks(50, 70)
    np.testing.assert_array_equal(load_segmenter(OUT)(photograph), load_segmenter()(photograph))
    config = json.loads((OUT / "config.json").read_text())
    assert config["id2label"] == {"0": "background", "1": "category 1", "2": "dog | cat"}
    assert config["shown_as"] == [0, 1, 2, 2]
    assert "resized to segmenter.short_side" in config["preparation"]
    assert {"mean", "std"} <= config["input"].keys()
    card = (OUT / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert (front["pipeline_tag"], front["license"]) == ("image-segmentation", "other")
    for said in (
        "no label reached it",
        "weights: random",
        "test mIoU 12.3 (imagenet_s, match from validation)",
    ):
        assert said in card


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match=r"--format onx: no such format \(did you mean 'onnx'\?\); there are: onnx, hf"):
        export_model("onx", OUT)
    with pytest.raises(UserError, match=r"artifacts/finetune.*no such file"):
        export_model("hf", OUT)
    fabricate_backbone("finetune")
    with pytest.raises(UserError, match="artifacts/finetune: the model of none is no segmenter"):
        export_model("hf", OUT)
    OUT.mkdir()
    (OUT / "mine").touch()
    with pytest.raises(UserError, match="--out out: holds files already"):
        export_model("hf", OUT)
