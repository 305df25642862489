"""The ids that masks hold, as a recipe declares them, and the class ids that they stand for.

Class ids are the same in every layout: 1..C in the order of the classes, 0 for background, `IGNORE_ID` for pixels that
are not scored. Only this table knows what a data set's own files hold.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from stages.core.data import IGNORE_ID

Id = Annotated[int, Field(ge=0, le=65535)]
ClassIds = Mapping[str, tuple[int, ...]]
"""The ids of the masks that make up each class: several for a merge."""


def check_ids(classes: ClassIds, *others: tuple[int, ...]) -> None:
    """Check that there are classes, not too many, and that no id stands for two things.

    Args:
        classes: Ids by class.
        others: Ids of background and of void.

    Raises:
        ValueError: Says what is wrong.
    """
    if not 0 < len(classes) < IGNORE_ID:
        raise ValueError(f"between 1 and {IGNORE_ID - 1} classes")
    ids = Counter(each for group in (*classes.values(), *others) for each in group)
    if twice := [each for each, count in ids.items() if count > 1]:
        raise ValueError(f"id {', '.join(map(str, twice))} stands twice among the classes and what is none")


def number_classes(classes: ClassIds, background: tuple[int, ...], void: tuple[int, ...]) -> dict[int, int]:
    """The class id by the id that masks hold.

    Args:
        classes: Ids by class, in the order that they are numbered in.
        background: Ids of what is scored as no class.
        void: Ids of what is not scored.
    """
    ids = {each: number for number, members in enumerate(classes.values(), start=1) for each in members}
    return ids | dict.fromkeys(background, 0) | dict.fromkeys(void, IGNORE_ID)
