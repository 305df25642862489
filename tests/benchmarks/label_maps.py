"""Random access to label maps, beside shards whose row groups are read whole, and beside decoding alone."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from stages.core.artifacts.label_maps import LabelMap, LabelMaps, write_label_maps
from stages.core.png_files import decode_png, encode_png
from tests.benchmarks.timing import alternate

GROUP = 32
"""Rows of the peer's row groups."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--maps", type=int, default=4096, help="in the artifact (default: %(default)s)")
    parser.add_argument("--reads", type=int, default=200, help="of one round (default: %(default)s)")
    parser.add_argument("--side", type=int, default=320, help="pixels (default: %(default)s)")


def run(args: argparse.Namespace) -> dict[str, object]:
    rng = np.random.default_rng(0)
    blocks = rng.integers(1, 300, (8, args.side // 8, args.side // 8)).astype(np.uint16)
    maps = [np.kron(block, np.ones((8, 8), np.uint16)) for block in blocks]
    drawn = [np.roll(maps[number % 8], number % 97, number % 2) for number in range(args.maps)]
    with tempfile.TemporaryDirectory() as folder:
        ours, peer = Path(folder, "ours"), Path(folder, "peer")
        for out in (ours, peer):
            rows = (LabelMap(f"{n:06d}", args.side, args.side, one) for n, one in enumerate(drawn))
            write_label_maps("superpixels", "slic", rows, out)
        for path in peer.glob("part-*"):
            pq.write_table(pq.read_table(path), path, row_group_size=GROUP, compression="zstd")
        (peer / "rows.arrow").unlink()
        text = (peer / "manifest.json").read_text()
        (peer / "manifest.json").write_text(text.replace('"rows.arrow"', '"no rows"'))
        opened = {}
        for name, out in {"row groups": peer, "here": ours}.items():
            start = time.perf_counter()
            len(LabelMaps(out))
            opened[name] = time.perf_counter() - start
        readers, png = {"here": LabelMaps(ours), "row groups": LabelMaps(peer)}, encode_png(drawn[0])

        def read(reader: LabelMaps) -> None:
            for number in rng.integers(0, args.maps, args.reads):
                _ = reader[f"{number:06d}"]

        seconds = alternate(
            {
                "decoding alone": lambda: [decode_png(png) for _ in range(args.reads)],
                **{name: lambda reader=reader: read(reader) for name, reader in readers.items()},
            },
            3,
        )
        sizes = {out.name: sum(os.path.getsize(path) for path in out.iterdir()) for out in (ours, peer)}
    table = Table("", "ms a map", "ms to open")
    for name, taken in seconds.items():
        table.add_row(name, f"{1000 * taken / args.reads:.2f}", f"{1000 * opened[name]:.1f}" if name in opened else "")
    Console().print(table)
    Console().print(f"on disk: {sizes['ours'] / sizes['peer']:.2f} of the peer's")
    each = {name: 1000 * taken / args.reads for name, taken in seconds.items()}
    return {"benchmark": "label_maps", "ms": each, "seconds_to_open": opened, "bytes": sizes}
