"""Provenance of a result: parameters, content hashes, initial weights, and every use of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from stages.core.artifacts.model_card import ModelCard
from stages.core.artifacts.models import read_model_card
from stages.core.artifacts.shards import ARTIFACTS, MANIFEST, read_json
from stages.core.config.params import PARAMS_FILE, read_params
from stages.core.config.weights import WeightsFile, uses_labels
from stages.evaluate import Config
from stages.evaluate.evaluators.table import label_uses
from stages.evaluate.rules import Threshold

_ARTIFACTS = (
    "index/images",
    "index/labels",
    "superpixels",
    "saliency",
    "pretrain",
    "attend",
    "cluster",
    "finetune",
    "predict",
)
_MODELS = ("pretrain", "attend", "finetune")


class Source(NamedTuple):
    """One artifact that the result rests on."""

    name: str
    method: str
    contract: str
    content_hash: str


class Provenance(NamedTuple):
    """Everything that a result depends on."""

    recipe: str
    """The command that wrote params.yaml; empty if it was written by hand."""
    params: dict[str, Any]
    sources: list[Source]
    weights: dict[str, str]
    """By stage, where the weights came from: a model's initial ones, or those that saliency maps were made with."""
    label_uses: list[str]
    """Every step that looked at labels, apart from the scoring itself."""
    license: str | None
    """Of the weights that came from outside, empty where nobody said one; None where there are none."""

    @property
    def seeds(self) -> dict[str, int]:
        """Seed of each stage that draws at random."""
        return {stage: seed for stage, section in self.params.items() if (seed := _find_seed(section)) is not None}

    def is_strict(self, threshold: Threshold) -> bool:
        """Whether no label reached training, the choice of a model, or the threshold of background."""
        return not self.label_uses and not threshold.uses_labels


def read_provenance(config: Config, root: Path = ARTIFACTS) -> Provenance:
    """Gather the provenance from params.yaml and the artifacts; those that do not exist are left out."""
    params = read_params() if PARAMS_FILE.exists() else {}
    sources = [_read_source(root, name) for name in _ARTIFACTS if (root / name / MANIFEST).exists()]
    cards = {stage: read_model_card(stage, root) for stage in _MODELS if (root / stage / MANIFEST).exists()}
    supervised = [f"{stage}: supervision by labels" for stage, section in params.items() if _is_supervised(section)]
    used = [
        f"{stage}: {_origin(card)} weights or training with labels" for stage, card in cards.items() if card.labels_used
    ]
    if (params.get("pseudolabel") or {}).get("categories"):
        used.append("pseudolabel: categories that a person made of the clusters")
    outside = _read_weights(params.get("saliency"))
    if outside and uses_labels(outside):
        used.append(f"saliency: {outside.origin} weights")
    beside = [f"evaluate: {use}" for use in label_uses(config)]
    weights = ({"saliency": outside.origin} if outside else {}) | {s: _origin(card) for s, card in cards.items()}
    licenses = [cards["pretrain"].start.license] if "pretrain" in cards else []
    licenses += [outside.license] if outside else []
    return Provenance(_recipe(), params, sources, weights, supervised + used + beside, _join(licenses))


def _find_seed(section: Any) -> int | None:
    """The seed of a section, which may stand in one of its groups."""
    if not isinstance(section, dict):
        return None
    found = (section.get("seed"), *map(_find_seed, section.values()))
    return next((seed for seed in found if seed is not None), None)


def _read_source(root: Path, name: str) -> Source:
    manifest = read_json(root / name / MANIFEST)
    return Source(
        name, str(manifest.get("method", "")), str(manifest.get("contract", "")), str(manifest.get("content_hash", ""))
    )


def _is_supervised(section: Any) -> bool:
    return isinstance(section, dict) and section.get("supervision") == "labels"


def _read_weights(section: Any) -> WeightsFile | None:
    """The file of weights that a section names; of a model, its card says it."""
    weights = section.get("weights") if isinstance(section, dict) else None
    return WeightsFile.model_validate(weights) if weights else None


def _join(licenses: list[str | None]) -> str | None:
    """Those of all files of weights; empty if one is not known."""
    known = list(dict.fromkeys(license for license in licenses if license is not None))
    return None if not known else ", ".join(known) if all(known) else ""


def _origin(card: ModelCard) -> str:
    return card.start.origin


def _recipe() -> str:
    first = PARAMS_FILE.read_text().partition("\n")[0] if PARAMS_FILE.exists() else ""
    return first.lstrip("# ").removeprefix("Written by:").strip() if first.startswith("#") else ""
