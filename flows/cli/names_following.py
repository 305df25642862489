"""What `luss names` does where the clusters are others than names.yaml speaks of."""

from __future__ import annotations

from pathlib import Path

from flows.workspace.names_following import follow_names


def follow(old: Path | None = None) -> int:
    """Write names.yaml over for the clusters that there are now, and say what followed; returns the exit status.

    Args:
        old: Folder of the clusters that the file speaks of, where no members were remembered.

    Returns:
        1 if some names have not followed.
    """
    found = follow_names(old=old)
    for line in found.followed:
        print(f"follows: {line}")
    for line in found.lost:
        print(f"does not follow: {line}")
    if found.note:
        print(found.note)
    if found.kept is None:
        print("names.yaml speaks of the clusters that there are, or of none: nothing to follow.")
    else:
        print(f"names.yaml is written; what it was lies in {found.kept}. `dvc repro evaluate` shows it in the report.")
    return int(bool(found.lost))
