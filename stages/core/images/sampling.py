"""Orders in which an epoch shows photographs."""

import numpy as np
import numpy.typing as npt


def draw_evenly(groups: npt.NDArray[np.integer], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """As many positions (N,) as there are, every group equally often up to one; small groups repeat their members.

    Args:
        groups: (N,) group of each position.
        rng: Source of randomness.

    Source: Caron et al., Deep Clustering for Unsupervised Learning of Visual Features, ECCV 2018, section 3.3.
    """
    present = np.unique(groups)
    each = -(-len(groups) // len(present))
    drawn = []
    for group in present:
        members = np.flatnonzero(groups == group)
        rounds = -(-each // len(members))
        drawn.append(np.concatenate([rng.permutation(members) for _ in range(rounds)])[:each])
    order: npt.NDArray[np.int64] = rng.permutation(np.concatenate(drawn))[: len(groups)]
    return order
