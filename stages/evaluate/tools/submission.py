"""The zip file that the ImageNet-S servers take for the test split."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.label_maps import LabelMap, LabelMaps
from stages.core.artifacts.models import read_model_card
from stages.core.artifacts.shards import ARTIFACTS, read_json
from stages.core.errors import UserError
from stages.core.files import shorten_name
from stages.core.outputs import make_parent_folder
from stages.core.png_files import encode_png
from stages.core.progress import track
from stages.evaluate.inputs import PREDICTIONS

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Date of every member, so that equal predictions give equal bytes."""


class Description(NamedTuple):
    """What method.txt tells the server."""

    name: str
    training_data: str
    training_scheme: str
    link: str
    description: str


def write_submission(out: Path, description: Description) -> int:
    """Write masks of split test with the match and the threshold of `artifacts/evaluate`.

    `<category>/<name>.png` (id = R + 256 G, ids before the match), `match.json` and `method.txt`.

    Returns:
        Number of masks.

    Raises:
        UserError: Test was not segmented whole, or the evaluation found no match to go with it.

    Source: PASS, inference on the test split.
    """
    make_parent_folder(out, "--out")
    match, threshold = _read_evaluation()
    predictions = LabelMaps(PREDICTIONS)
    index = read_images()
    if not index.has("test"):
        raise UserError("artifacts/index/images: there is no split test to submit")
    ids = index.in_splits("test").image_ids
    if missing := [image_id for image_id in ids if image_id not in predictions]:
        raise UserError(
            f"artifacts/predict: {len(missing)} test photographs are not segmented, first {missing[0]}; "
            "put test into predict.splits"
        )
    partial = out.with_name(shorten_name(out.name, ".partial"))
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as file:
        for image_id in track(ids, label="submission"):
            _add(file, _member_name(image_id), encode_png(_to_rgb(_cut(predictions[image_id], threshold))))
        _add(file, "match.json", json.dumps(match).encode())
        _add(file, "method.txt", _method_text(description).encode())
    partial.replace(out)
    return len(ids)


def _read_evaluation() -> tuple[dict[str, int], int | None]:
    metrics, matching = (read_json(ARTIFACTS / "evaluate" / name) for name in ("metrics.json", "matching.json"))
    protocol = metrics.get("protocol", {})
    if protocol.get("name") != "imagenet_s" or protocol.get("match") != "validation":
        raise UserError(
            "artifacts/evaluate: a submission needs the match of protocol imagenet_s, found on validation masks; "
            f"this one has protocol {protocol.get('name')}, match {protocol.get('match', 'none')}"
        )
    threshold = protocol.get("threshold")
    return matching["match"], None if threshold is None else round(100 * threshold)


def _member_name(image_id: str) -> str:
    return image_id.removeprefix("test/") + ".png"


def _cut(predicted: LabelMap, threshold: int | None) -> npt.NDArray[np.uint16]:
    pred = np.asarray(predicted.map).astype(np.uint16)
    if threshold is None or predicted.score is None:
        return pred
    return np.where(predicted.score < threshold, np.uint16(0), pred)


def _to_rgb(ids: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    return np.stack([ids % 256, ids // 256, np.zeros_like(ids)], axis=2).astype(np.uint8)


def _add(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    file.writestr(zipfile.ZipInfo(name, _EPOCH), data)


def _method_text(description: Description) -> str:
    backbone = read_model_card("finetune").parts.backbone
    return "\n".join(
        [
            f"Method name: {description.name}",
            f"Training data: {description.training_data}",
            f"Training scheme: {description.training_scheme}",
            f"Networks: {backbone.name}",
            f"Paper/Project link: {description.link}",
            f"Method description: {description.description}",
        ]
    )
