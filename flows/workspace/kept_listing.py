"""The list of a linked root's files as they were when linked, kept on this machine to name what differs later.

Lies in `$LUSS_CHECKPOINTS/linked/` (default `.checkpoints/`), one file per root; it may be deleted.
"""

from __future__ import annotations

import os
from array import array
from pathlib import Path

from stages.core.data_link import DataLink, Listing, is_elsewhere
from stages.core.hashing import hash_bytes


def keep_listing(root: str, listing: Listing) -> None:
    """Keep the files of a root."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = pa.array(map(os.fsencode, listing.paths), pa.binary())
    columns = {"path": names, "bytes": pa.array(listing.sizes), "changed_ns": pa.array(listing.times)}
    place = _place(root)
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f"{place.name}.{os.getpid()}.partial")
    pq.write_table(pa.table(columns), partial, compression="zstd")
    partial.replace(place)


def read_kept(root: str, link: DataLink) -> Listing | None:
    """The list of a root's files as they were linked; None if none of this link is kept."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(_place(root))
        paths = [os.fsdecode(path) for path in table.column("path").to_pylist()]
        sizes, times = (array("q", table.column(name).to_numpy().tobytes()) for name in ("bytes", "changed_ns"))
    except (OSError, LookupError, pa.ArrowException):
        return None
    kept = Listing(paths, sizes, times)
    told = kept.describe(link.root)
    return kept if told.digest == link.digest and (told.times == link.times or is_elsewhere(link)) else None


def _place(root: str) -> Path:
    checkpoints = Path(os.environ.get("LUSS_CHECKPOINTS", ".checkpoints"))
    return checkpoints / "linked" / f"{hash_bytes(os.fsencode(root))[:12]}.parquet"
