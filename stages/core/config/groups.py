"""Groups of parts of photographs that are clustered each by itself."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from stages.core.config.params import Params

Group = Literal["object", "surroundings"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""In the order of their clusters' ids; an array of groups holds positions in it."""


class GroupCounts(Params):
    """How many clusters each group has; 0 leaves its vectors out."""

    object: int = Field(0, ge=0)
    """Of parts in which something stands out ("things")."""
    surroundings: int = Field(0, ge=0)
    """Of parts in which nothing does ("stuff")."""

    @model_validator(mode="after")
    def _has_two_clusters(self) -> "GroupCounts":
        if self.object + self.surroundings < 2:
            raise ValueError("groups must have two clusters together, or more")
        return self

    @property
    def counts(self) -> tuple[int, ...]:
        """In the order of `GROUPS`."""
        return tuple(getattr(self, group) for group in GROUPS)
