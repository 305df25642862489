"""The trained segmenter for other programs: ONNX, and a folder in the conventions of the Hugging Face hub."""

from __future__ import annotations

import json
import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stages.core.artifacts.model_card import ModelCard, encode_card
from stages.core.artifacts.models import read_model, read_model_card
from stages.core.artifacts.names import Naming, read_naming
from stages.core.artifacts.shards import ARTIFACTS, encode_json, read_json, write_atomically
from stages.core.errors import UserError, did_you_mean
from stages.core.nets.segmenter import Segmenter, restore_segmenter
from stages.core.outputs import make_output_folder

MODEL_FORMATS = ("onnx", "hf")
_METRICS = ARTIFACTS / "evaluate" / "metrics.json"
_OPSET = 18
"""The first whose resizing is torch's bilinear, with antialiasing."""


def export_model(kind: str, out: Path) -> None:
    """Write the segmenter `artifacts/finetune`.

    Args:
        kind: `onnx`: `model.onnx`, which takes normalized photographs (B, 3, H, W) of any size, already resized, and
            gives `logits` (B, K, h, w), and `foreground` (B, 1, h, w) where another head tells the background; `hf`:
            the weights and a model card, which `load_segmenter` reads. Both with `config.json`, which says how
            photographs are prepared and what the ids are.
        out: Folder, which must be empty or new.

    Raises:
        UserError: No such format, `out` holds something, no segmenter, or it cannot be written as ONNX.
    """
    if kind not in MODEL_FORMATS:
        raise UserError(
            f"--format {kind}: no such format{did_you_mean(kind, MODEL_FORMATS)}; there are: {', '.join(MODEL_FORMATS)}"
        )
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"--out {out}: holds files already; name an empty or a new folder")
    card = read_model_card("finetune")
    if card.segmenter is None:
        raise UserError(f"artifacts/finetune: the model of {card.method} is no segmenter")
    naming = read_naming(card.segmenter.clusters)
    make_output_folder(out, "--out")
    if kind == "onnx":
        write_atomically(out / "model.onnx", encode_onnx())
    else:
        for file in (ARTIFACTS / "finetune").iterdir():
            shutil.copy(file, out / file.name)
        write_atomically(out / "README.md", describe_model(card, naming).encode())
    write_atomically(out / "config.json", encode_json(_config(card, naming)))
    print(f"{out}: " + ", ".join(sorted(path.name for path in out.iterdir())))


def encode_onnx() -> bytes:
    """The network of `artifacts/finetune` from normalized photographs to logits, as ONNX.

    Raises:
        UserError: The extra `export` is not installed, or the network holds something that ONNX cannot.
    """
    if not all(map(find_spec, ("onnx", "onnxscript"))):
        raise UserError("--format onnx: needs onnx and onnxscript; pip install 'luss[export]'")
    segmenter = restore_segmenter(*read_model("finetune", ["backbone", "head"]))
    side = segmenter.card.short_side
    example = torch.rand(2, 3, side, side + 32)
    size = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # Of the exporter's own parts.
            program = torch.onnx.export(
                _Outputs(segmenter),
                (example,),
                input_names=["images"],
                output_names=["logits", *["foreground"] * _has_foreground(segmenter)],
                dynamic_shapes=(size,),
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # The exporter raises almost anything where a network does what ONNX cannot.
        raise UserError(f"--format onnx: this network cannot be written ({str(error).splitlines()[0]})") from None
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data


def _has_foreground(segmenter: Segmenter) -> bool:
    return segmenter.saliency is not None or segmenter.card.background == "attention"


class _Outputs(nn.Module):
    """What the network says, as tensors alone."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(B, 3, H, W) to logits (B, K, h, w) and, where another head tells the background, its map (B, 1, h, w)."""
        if self.segmenter.card.background == "attention":
            features, weights = self.segmenter.features.attend(images)
            return self.segmenter.head(features), weights.mean(1, keepdim=True)
        features = self.segmenter.features(images)
        logits: Tensor = self.segmenter.head(features)
        return logits if self.segmenter.saliency is None else (logits, self.segmenter.saliency(features))


def _config(card: ModelCard, naming: Naming) -> dict[str, Any]:
    """How photographs are prepared, what the outputs mean, and the model's card."""
    shift = 0 if card.segmenter and card.segmenter.background == "class_0" else 1
    return {
        "model_type": "luss-segmenter",
        "preparation": "RGB, resized to segmenter.short_side (squashed to segmenter.size where there is one), / 255, "
        "minus input.mean, over input.std",
        "output": f"logits are enlarged bilinearly to the photograph: id = arg-max + {shift}; segmenter.background "
        "says what is background: foreground, too, is enlarged, and goes through a sigmoid if a saliency head's",
        "id2label": {str(number): name for number, name in naming.legend.items()},
        "shown_as": naming.shown.tolist(),
        **encode_card(card),
    }


def describe_model(card: ModelCard, naming: Naming) -> str:
    """The model card: what the segmenter learnt from, its scores, and what its ids are called."""
    metrics = read_json(_METRICS) if _METRICS.is_file() else {}
    protocol = metrics.get("protocol", {})
    is_strict = bool(protocol.get("strict", not card.labels_used)) and not card.labels_used
    start = card.start
    license = start.license if start.license else "other"
    origin = "random" if start.origin == "random" else f"{start.origin} (sha256 {start.sha256})"
    head = {"library_name": "luss", "pipeline_tag": "image-segmentation", "license": license}
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in head.items()), "tags: [unsupervised]", "---", ""]
    lines += ["# An unsupervised segmenter", ""]
    lines += [f"- Learnt {'from photographs alone: no label reached it' if is_strict else 'with labels: not strict'}."]
    lines += [f"- Initial weights: {origin}; their license: {_license(start.license)}."]
    lines += [f"- Method of fine-tuning: `{card.method}`; backbone `{card.parts.backbone.name}`."]
    lines += [f"- {naming.shown.size - 1} categories. {_describe_scores(metrics)}", ""]
    lines += ["```python", "from stages.predict import load_segmenter", ""]
    lines += ["segmenter = load_segmenter(FOLDER)  # where this file lies", "masks = segmenter(images)", "```", ""]
    lines += ["| id | name |", "|---|---|"]
    lines += [f"| {number} | {name.replace('|', '&#124;')} |" for number, name in naming.legend.items()]
    return "\n".join(lines) + "\n"


def _license(found: str | None) -> str:
    return "none, they are random" if found is None else found or "not known, ask where they come from"


def _describe_scores(metrics: dict[str, Any]) -> str:
    scores = [
        f"{split} mIoU {scores['mIoU']:.1f}"
        for split, scores in metrics.items()
        if split != "protocol" and isinstance(scores, dict) and isinstance(scores.get("mIoU"), float)
    ]
    if not scores:
        return "Not scored."
    protocol = metrics["protocol"]
    return f"Last evaluation: {', '.join(scores)} ({protocol['name']}, match from {protocol['match']})."
