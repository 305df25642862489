"""The files that a layout finds in `data/`, by their names alone."""

from typing import NamedTuple

from stages.core.config.splits import Split
from stages.core.data import DATA, Rejected
from stages.core.data_link import check_link
from stages.core.errors import UserError


class Candidate(NamedTuple):
    """A photograph that was found and not yet read."""

    path: str
    """Relative to `data/`, as all paths here."""
    split: Split
    class_name: str | None


class Layout(NamedTuple):
    """The files of a data set, in the order of their paths."""

    photographs: list[Candidate]
    masks: dict[str, str]
    """Id of the photograph that each mask belongs to, by the mask's path."""
    classes: list[str]
    """Names of the categories in the order of their ids 1, 2, ..."""
    rejected: list[Rejected]
    """Files that their names rule out as photographs."""
    rejected_masks: list[Rejected]
    mask_ids: dict[int, int] | None = None
    """Class id, 0 for background or `IGNORE_ID`, by the id that masks hold, gray or with a palette; None where masks
    hold the class ids themselves, as ImageNet-S's do."""


def require_data() -> None:
    """Check that there is a folder `data/`, and where it is linked, that the files are those that were linked.

    Raises:
        UserError: There is none, or they are not.
    """
    if not DATA.is_dir():
        raise UserError(
            f"{DATA}: no such folder; put photographs there, link a folder of them with `luss data link PATH`, or "
            "write the built-in set with `luss sample`"
        )
    check_link()
