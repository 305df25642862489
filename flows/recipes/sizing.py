"""Sizes the trainings of a recipe for the number of photographs: epochs, batches, and what counts epochs.

Methods carry values for about a thousand photographs (`variants` of `folder`). For n photographs a training takes
sqrt(n / 1000) times as many steps: ten times the photographs take three times as long. It takes 120 at least: a
segmenter of 150 photographs saw no shape after 18 steps of 50, and followed objects after 120.

`shared.megapixels` bounds what a training sees, and with it the minutes: pixels of all views of all steps, of which a
ResNet-18 took 200,000 a second on an AVX2 core. Where that is less, batches shrink before steps do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flows.recipes.measuring import MEASURED, REFERENCE, Counted

_FEWEST_STEPS = 120
_FEWEST_IN_BATCH = 8
"""Methods that compare photographs in groups need so many."""
_SMALL_BATCH = 24
"""Bounded trainings take no smaller one for the sake of steps: it is shared among the clusters of SwAV and its kin."""
_STRIDE = 32
"""Of a convolutional network that computes no map at a finer one."""
_IN_EPOCHS = ("warmup_epochs", "start_epoch", "bootstrapping.start", "bootstrapping.intervals")
"""Ends of the keys that count epochs of their section's training."""
_WHY = {
    "photographs": "in data/, by names and headers; index reads each whole",
    "short_side": "pixels, median of a sample of them",
    "resize": "pixels at which they are seen, enlarged nowhere; 256 from 20,000 photographs on, 144 below",
    "view_size": "pixels of a view in training",
}
"""Shared values that are told, and what they are."""


class Size(NamedTuple):
    """A value that was chosen for the photographs, or given in its place."""

    key: str
    value: Any
    why: str


def size_recipe(
    sections: dict[str, Any], shared: Mapping[str, Any], overrides: Sequence[str], counted: Counted
) -> list[Size]:
    """Size the sections in place, but for values that were given; returns what was chosen, and what was given.

    Args:
        sections: By stage, with the values for a thousand photographs.
        shared: Of the recipe; without `photographs` nothing is sized.
        overrides: Assignments that a person gave.
        counted: What was counted.
    """
    if "photographs" not in shared:
        return []
    given = [override.partition("=")[0] for override in overrides]
    told = [Size(f"shared.{name}", shared[name], _why(name, counted, given)) for name in _WHY if name in shared]
    stride = _output_stride(sections["pretrain"])
    trainings = [
        size for stage, section in sections.items() for size in _size_section(stage, section, stride, shared, given)
    ]
    known = {size.key for size in [*told, *trainings]}
    return [*told, *trainings, *(Size(*_split(each), "given") for each in overrides if _split(each)[0] not in known)]


def _why(name: str, counted: Counted, given: Sequence[str]) -> str:
    if f"shared.{name}" in given:
        return "given"
    if name in MEASURED and counted.is_assumed:
        return "assumed: no photographs in data/ yet; once more when they are there"
    return _WHY[name]


def _split(assignment: str) -> tuple[str, str]:
    key, _, value = assignment.partition("=")
    return key, value


def _output_stride(section: Any) -> int:
    """Of the network that all trainings go through; a recipe's section may be anything yet."""
    backbone = section.get("backbone") if isinstance(section, dict) else None
    stride = backbone.get("output_stride") if isinstance(backbone, dict) else None
    return stride if isinstance(stride, int) and stride > 0 else _STRIDE


def _size_section(
    stage: str, section: Any, stride: int, shared: Mapping[str, Any], given: Sequence[str]
) -> Iterator[Size]:
    training = section.get("training") if isinstance(section, dict) else None
    if not (isinstance(training, dict) and {"epochs", "batch_size"} <= set(training)):
        return
    key, photographs = f"{stage}.training", max(int(shared["photographs"]), 1)
    epochs, batch = int(training["epochs"]), int(training["batch_size"])
    known = epochs * max(REFERENCE // batch, 1)
    steps = max(known * math.sqrt(photographs / REFERENCE), min(_FEWEST_STEPS, known)) * float(shared["effort"])
    seen = _seen_at_most(section, stride, shared)
    if not is_given(f"{key}.batch_size", given):
        yield from _size_batch(training, key, photographs, seen if seen < steps * batch else math.inf)
    per_epoch = max(photographs // int(training["batch_size"]), 1)
    if is_given(f"{key}.epochs", given):
        yield Size(f"{key}.epochs", epochs, f"given: {epochs * per_epoch:,} steps")
        return
    bounded = min(steps, seen / training["batch_size"])
    training["epochs"] = max(round(bounded / per_epoch), 1)
    _stretch(section, training["epochs"] / epochs, stage, given)
    why = f"{known:,} for {REFERENCE:,} photographs" if bounded == steps else "bounded by shared.megapixels"
    yield Size(f"{key}.epochs", training["epochs"], f"{training['epochs'] * per_epoch:,} steps; {why}")


def _size_batch(training: dict[str, Any], key: str, photographs: int, seen: float) -> Iterator[Size]:
    """Let a batch hold no more than there are photographs, and than leaves a bounded training some steps."""
    batch, all_in_one = int(training["batch_size"]), max(photographs, _FEWEST_IN_BATCH)
    bounded = int(min(max(_SMALL_BATCH, seen / _FEWEST_STEPS), batch))
    if min(all_in_one, bounded) == batch:
        return
    training["batch_size"] = min(all_in_one, bounded)
    is_bounded = bounded < all_in_one
    why = f"not {batch}: more steps" if is_bounded else f"all photographs in one step, fewer than {batch}"
    yield Size(f"{key}.batch_size", training["batch_size"], why)


def _seen_at_most(section: Mapping[str, Any], stride: int, shared: Mapping[str, Any]) -> float:
    """Photographs that a training may see, each as often as it comes; a network at half the stride costs twice."""
    if shared["megapixels"] is None:
        return math.inf
    crops = (section.get("views") or {}).get("crops") or [{"count": 2, "size": shared["view_size"]}]
    pixels = sum(int(crop["count"]) * int(crop["size"]) ** 2 for crop in crops) * int(section.get("rounds") or 1)
    return max(float(shared["megapixels"]) * 1e6 * stride / _STRIDE / pixels, 1.0)


def _stretch(group: dict[str, Any], factor: float, key: str, given: Sequence[str]) -> None:
    """Multiply what counts epochs; whole numbers stay whole, but for the learning rate's warm-up, and 0 stays 0."""
    for name, value in group.items():
        inner = f"{key}.{name}"
        if isinstance(value, dict):
            _stretch(value, factor, inner, given)
        elif inner.endswith("optimizer.warmup_epochs") and not is_given(inner, given):
            group[name] = round(float(value) * factor, 4)
        elif inner.endswith(_IN_EPOCHS) and not is_given(inner, given):
            group[name] = [_times(one, factor) for one in value] if isinstance(value, list) else _times(value, factor)


def _times(value: int, factor: float) -> int:
    return max(round(value * factor), 1) if value else 0


def is_given(key: str, given: Iterable[str]) -> bool:
    """Whether a value was given by its own key or by that of a group around it."""
    return any(key == one or key.startswith(f"{one}.") for one in given)
