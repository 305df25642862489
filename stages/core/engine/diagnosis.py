"""What is wrong with a training that goes wrong, told from its history before a week is lost."""

import math
from collections.abc import Mapping, Sequence

Row = dict[str, float | int]

_ALIKE = 0.01
"""Standard deviation of the embeddings below which they count as one."""
_UNUSED = 0.05
"""Share of the largest entropy below which the prototypes' use counts as one."""
_STUCK, _NEAR, _OFTEN = 0.98, 0.93, 0.05
"""Nothing has been learnt where the mean loss is above the first share of what chance gives; or above the second, and
more than the third of its values reach chance. A slow training comes to 0.97 and leaves chance behind."""


def looks_collapsed(row: Row) -> bool:
    """Whether a row of the history shows signs of collapse: such a state is not worth a checkpoint."""
    return row.get("embedding_std", 1) < _ALIKE or row.get("prototype_use", 1) < _UNUSED


def diagnose(rows: Sequence[Row], iterations: int, chance: Mapping[str, float]) -> str | None:
    """What is wrong, and which parameter is the likely cause; None while all is well.

    A collapse that lasts for a twentieth of the training does not mend, nor does a loss that after a fifth of the
    training stays at chance over such a time, or jumps about and comes back to it. A short training is left in peace.

    Args:
        rows: Of the history so far.
        iterations: Of the whole training.
        chance: What columns of the history are while nothing has been learnt.
    """
    done = int(rows[-1]["iteration"])
    lasting = [row for row in rows if row["iteration"] > done - max(iterations // 20, 100)]
    if done >= 100 and all(looks_collapsed(row) for row in lasting):
        return _explain_collapse(rows[-1])
    if done >= max(iterations // 5, 200):
        for name, by_chance in chance.items():
            losses = [row[name] for row in lasting]
            if _are_chance([loss / by_chance for loss in losses]):
                return _explain_no_learning(sum(losses) / len(losses), done, by_chance)
    return None


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


def _explain_no_learning(loss: float, done: int, by_chance: float) -> str:
    return (
        f"nothing was learnt in {done} iterations: the loss, {loss:.3f}, is still what chance gives, "
        f"{by_chance:.3f} = ln {math.exp(by_chance):.0f}. Most often training.optimizer.base_lr is too high, or "
        "the photographs hardly differ; otherwise there are too many prototypes for so few photographs, temperature is "
        "too low, or projector.last_norm: true is needed"
    )
