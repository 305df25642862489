"""Recognizes a training that collapses or learns nothing, and names the likely parameter."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Row = dict[str, float | int]

_ALIKE = 0.01
"""Standard deviation of the embeddings below which they count as one."""
_UNUSED = 0.05
"""Share of the largest entropy below which the prototypes' use counts as one."""
_STUCK, _NEAR, _OFTEN = 0.98, 0.93, 0.05
"""Nothing has been learnt where the mean loss is above the first share of what chance gives; or above the second, and
more than the third of its values reach chance. A slow training comes to 0.97 and leaves chance behind."""


class Expectation(NamedTuple):
    """What an untrained method's history says, which a training that learns leaves behind."""

    chance: Mapping[str, float] = {}
    """What columns of the history are while nothing has been learnt, such as ln P."""
    start: int = 0
    """Iteration from which they are expected to fall: that at which prototypes begin to learn."""
    causes: str = (
        "there are too many prototypes for so few photographs, temperature is too low, or projector.last_norm: true is "
        "needed"
    )
    """What else to look for where they do not."""


def has_collapsed(rows: Sequence[Row]) -> bool:
    """Whether the newest row shows signs of collapse that were not there from the start.

    Such a state is not worth a checkpoint in place of the ones from before.
    """
    return bool(rows) and _looks_collapsed(rows[-1]) and not all(map(_looks_collapsed, rows))


def diagnose(rows: Sequence[Row], iterations: int, expected: Expectation) -> str | None:
    """A message that says what is wrong and which parameter is the likely cause; None while all is well.

    A collapse that lasts for a twentieth of the training, and for a hundred iterations, does not mend, nor does a loss
    that after a fifth of the training stays at chance over such a time, or jumps about and comes back to it. However
    long a row of the history is, less than such a time ends nothing. A short training is left in peace.

    Args:
        rows: Of the history so far.
        iterations: Of the whole training.
        expected: What the method's history is expected to leave behind.
    """
    done, lasting = int(rows[-1]["iteration"]), _lasting(iterations)
    if done >= lasting and all(_looks_collapsed(row) for row in rows if row["iteration"] > done - lasting):
        return _explain_collapse(rows[-1])
    learning = iterations - expected.start
    if done - expected.start >= max(learning // 5, 200):
        for name, by_chance in expected.chance.items():
            losses = [row[name] for row in rows if row["iteration"] > done - _lasting(learning)]
            if _are_chance([loss / by_chance for loss in losses]):
                mean = sum(losses) / len(losses)
                return _explain_no_learning(name, mean, done - expected.start, by_chance, expected.causes)
    return None


def _lasting(iterations: int) -> int:
    return max(iterations // 20, 100)


def _looks_collapsed(row: Row) -> bool:
    return row.get("embedding_std", 1) < _ALIKE or row.get("prototype_use", 1) < _UNUSED


def _are_chance(shares: Sequence[float]) -> bool:
    mean = sum(shares) / len(shares)
    return mean > _STUCK or (mean > _NEAR and sum(share >= 1 for share in shares) > _OFTEN * len(shares))


def _explain_collapse(row: Row) -> str:
    signs = ", ".join(f"{name} = {row[name]:.3g}" for name in ("embedding_std", "prototype_use") if name in row)
    return (
        f"training collapsed by iteration {row['iteration']}: all photographs look the same to the network ({signs}). "
        "Most often training.optimizer.base_lr is too high; otherwise the batch is too small for the number of "
        "prototypes, or projector.last_norm: true is needed"
    )


def _explain_no_learning(name: str, mean: float, done: int, by_chance: float, causes: str) -> str:
    choices = math.exp(by_chance)
    of = f" = ln {choices:.0f}" if abs(choices - round(choices)) < 1e-6 * choices else ""
    return (
        f"nothing was learnt in {done} iterations: the {name}, {mean:.3f}, is still what chance gives, "
        f"{by_chance:.3f}{of}. Most often training.optimizer.base_lr is too high, or "
        f"the photographs hardly differ; otherwise {causes}"
    )
