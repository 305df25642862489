"""Clusters by random starts on a sample, beside faiss with its starts on all vectors: objective, seconds, peak memory.

Each candidate has a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
from rich.console import Console
from rich.table import Table

from stages.cluster.search import Plan, search
from stages.core.faiss_ops import Float32, nearest
from stages.core.streamed_kmeans import VectorRows, normalize_in_place

OURS, PEER = "search", "faiss"
FASTER, WORSE = 6, 0.002
"""Wanted: times the peer's speed, and share of its objective at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vectors", type=int, default=240_000, help="N (default: %(default)s)")
    parser.add_argument("--size", type=int, default=64, help="D (default: %(default)s)")
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--restarts", type=int, default=30)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--sample", type=int, default=20_000, help="vectors that the starts look at")
    parser.add_argument("--candidate", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, object]:
    if args.candidate:
        return measure(args)
    rows = {name: in_own_process(name) for name in (PEER, OURS)}
    table = Table("", "objective", "seconds", "peak MiB")
    for name, row in rows.items():
        table.add_row(name, f"{row['objective']:.1f}", f"{row['seconds']:.1f}", f"{row['peak_mib']:.0f}")
    faster = rows[PEER]["seconds"] / rows[OURS]["seconds"]
    worse = rows[OURS]["objective"] / rows[PEER]["objective"] - 1
    Console().print(table)
    Console().print(f"{faster:.1f}x as fast (wanted: {FASTER}), objective {100 * worse:+.3f} % (wanted: at most 0.2)")
    return {
        "benchmark": "kmeans",
        "faster": faster,
        "worse": worse,
        "holds": faster >= FASTER and worse <= WORSE,
    } | rows


def in_own_process(name: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks", *sys.argv[1:], "--candidate", name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return row


def measure(args: argparse.Namespace) -> dict[str, object]:
    """Seconds of all threads together, the drawing of the vectors left out."""
    vectors = draw(args.vectors, args.size)
    start = time.process_time()
    normalize_in_place(vectors)
    if args.candidate == OURS:
        plan = Plan(args.k, args.restarts, args.iterations, 0, args.sample)
        with tempfile.TemporaryDirectory() as work:
            objective = search(VectorRows(vectors, np.arange(len(vectors))), plan, Path(work)).objective
    else:
        objective = by_faiss(vectors, args)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"objective": objective, "seconds": seconds, "peak_mib": peak}


def by_faiss(vectors: Float32, args: argparse.Namespace) -> float:
    """All starts on all vectors."""
    peer = faiss.Kmeans(
        args.size, args.k, niter=args.iterations, nredo=args.restarts, max_points_per_centroid=len(vectors)
    )
    peer.train(vectors)
    return float(nearest(vectors, peer.centroids, 1)[0].sum(dtype=np.float64))


def draw(count: int, size: int) -> Float32:
    """Overlapping heaps (N, D) of very unequal sizes and widths, as embeddings form them."""
    rng = np.random.default_rng(0)
    heaps = 300
    shares = 1 / np.arange(1, heaps + 1) ** 0.7
    owners = rng.choice(heaps, count, p=shares / shares.sum())
    centers, widths = rng.normal(size=(heaps, size)), rng.uniform(0.3, 1.2, (heaps, size))
    vectors = np.empty((count, size), np.float32)
    for first in range(0, count, 4096):  # Little memory beside them, so that the peak is the candidate's.
        own = owners[first : first + 4096]
        vectors[first : first + 4096] = rng.normal(size=(len(own), size)) * widths[own] + centers[own]
    return vectors
