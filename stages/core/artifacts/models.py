"""Artifact `model`: weights of the backbone and of other trained parts, model.json, and history.csv of the training."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stages.core.artifacts.histories import HISTORY, encode_history
from stages.core.artifacts.model_card import PARTS, ModelCard, PartsCard, decode_card, encode_card
from stages.core.artifacts.shards import (
    ARTIFACTS,
    atomic_out,
    contract_name,
    encode_json,
    read_json,
    read_manifest,
    write_atomically,
)
from stages.core.errors import UserError
from stages.core.hashing import hash_bytes

if TYPE_CHECKING:
    from torch import Tensor, nn

_WEIGHTS, _CARD = "model.safetensors", "model.json"


class Model(NamedTuple):
    """A model artifact in memory."""

    card: ModelCard
    states: Mapping[str, Mapping[str, "Tensor"]]
    """Tensors by part and name."""


def describe_parts(parts: Mapping[str, "nn.Module"]) -> PartsCard:
    """The configs that a model's modules were built from (their `card`), by part."""
    return PartsCard.model_validate({part: module.card for part, module in parts.items()})


def write_model(
    stage: str,
    parts: Mapping[str, "nn.Module"],
    card: ModelCard,
    history: Sequence[Mapping[str, float | int]],
    root: Path = ARTIFACTS,
) -> None:
    """Write `artifacts/<stage>`.

    Args:
        stage: Stage that writes.
        parts: Trained modules by part; see `PARTS`.
        card: What model.json says; contract and stage are filled in.
        history: Rows of history.csv; nothing in them may depend on time.
        root: Directory of artifacts.
    """
    from safetensors.torch import save

    state = {
        f"{part}.{key}": value.detach().cpu().contiguous()
        for part in PARTS
        if part in parts
        for key, value in parts[part].state_dict().items()
    }
    with atomic_out(root / stage, "model", stage, card.method) as out:
        write_atomically(out / _WEIGHTS, save(state))
        write_atomically(out / _CARD, _encode(card, stage))
        write_atomically(out / HISTORY, encode_history(history))


def copy_model(source: str, stage: str) -> None:
    """Copy another stage's model artifact, unchanged, to `artifacts/<stage>`."""
    read_manifest(ARTIFACTS / source, "model")
    _write_copy(ARTIFACTS / source, stage, "none", (ARTIFACTS / source / _CARD).read_bytes())


def import_model(origin: Path, stage: str, changes: Mapping[str, Any]) -> None:
    """Copy a model artifact from a folder to `artifacts/<stage>`, with some fields of its card changed.

    Raises:
        UserError: There is none, or it is broken or of another version.
    """
    card = read_model_card(origin.name, origin.parent)
    changed = card.model_copy(update=dict(changes))
    _write_copy(origin, stage, changes.get("method", "none"), _encode(changed, stage))


def _encode(card: ModelCard, stage: str) -> bytes:
    return encode_json(encode_card(card) | {"contract": contract_name("model"), "stage": stage})


def _write_copy(origin: Path, stage: str, method: str, card: bytes) -> None:
    with atomic_out(ARTIFACTS / stage, "model", stage, method) as out:
        for name in (_WEIGHTS, HISTORY):
            write_atomically(out / name, (origin / name).read_bytes())
        write_atomically(out / _CARD, card)


def read_model_card(stage: str, root: Path = ARTIFACTS) -> ModelCard:
    """Read model.json of `artifacts/<stage>`; needs no torch.

    Raises:
        UserError: Missing, broken or of another version.
    """
    read_manifest(root / stage, "model")
    path = root / stage / _CARD
    return decode_card(read_json(path), str(path))


def read_model(stage: str, parts: Iterable[str] = (), root: Path = ARTIFACTS) -> Model:
    """Read a model's card and the weights of every part it holds.

    Args:
        stage: Stage that wrote it.
        parts: Parts that must be there.
        root: Directory of artifacts.

    Raises:
        UserError: Missing, broken, of another version, or without one of the parts.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    card = read_model_card(stage, root)
    path = root / stage / _WEIGHTS
    try:
        data = path.read_bytes()
        if hash_bytes(data) != read_manifest(root / stage, "model")["files"].get(_WEIGHTS):
            raise SafetensorError("its content is not what was written")
        state = load(data)
    except (FileNotFoundError, SafetensorError) as error:
        raise UserError(
            f"{path}: missing or broken ({error}); delete {path.parent} and run `dvc repro {stage}`"
        ) from None
    states = {part: selected for part in PARTS if (selected := _select(state, part))}
    if absent := [part for part in parts if part not in states]:
        raise UserError(f"{path}: has no {' and no '.join(absent)}; it holds: {', '.join(states)}")
    return Model(card, states)


def model_hash(stage: str) -> str:
    """Content hash of a model artifact."""
    return str(read_manifest(ARTIFACTS / stage, "model")["content_hash"])


def _select(state: Mapping[str, "Tensor"], part: str) -> dict[str, "Tensor"]:
    return {key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")}
