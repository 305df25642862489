"""The folder that `luss predict` writes: which files in it are its own, tables, legend and a page of overlays."""

import csv
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from stages.core.artifacts.names import Naming
from stages.core.artifacts.shards import write_atomically
from stages.core.errors import UserError
from stages.core.image_files import UInt8
from stages.core.images.palette import css_color
from stages.core.png_files import encode_png
from stages.core.words import how_many
from stages.predict.legend import draw_legend

_RECORD = "written.json"
"""Lists the files of the folder that are its own."""
_TABLES = ("rejected.csv", "legend.csv", "legend.png", "summary.csv", "index.html")
_SHOWN = 1000
"""Most overlays on the page."""
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;margin:24px;color-scheme:light dark}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,280px),1fr));gap:18px}
figure{margin:0}img{width:100%;display:block;border-radius:6px}figcaption{font-size:13px;overflow-wrap:anywhere}
table{border-collapse:collapse;margin:16px 0}td,th{padding:2px 16px 2px 0;text-align:right}
td:first-child,th:first-child{text-align:left}i{display:inline-block;width:.8em;height:.8em;margin-right:8px}"""


class Summary:
    """How many pixels and photographs each number was found in."""

    def __init__(self, naming: Naming, noun: str) -> None:
        self.naming, self.noun = naming, noun
        self.pixels = np.zeros(len(naming.shown), np.int64)
        self.photographs = np.zeros(len(naming.shown), np.int64)

    def add(self, mask: np.ndarray) -> None:
        """Count a mask of numbers that are shown."""
        areas = np.bincount(mask.reshape(-1), minlength=len(self.pixels))
        self.pixels += areas
        self.photographs += areas > 0

    def share(self, number: int) -> float:
        """Of all pixels, 0..1."""
        return float(self.pixels[number] / max(int(self.pixels.sum()), 1))

    def lines(self) -> list[str]:
        """What was found, most pixels first, in words."""
        found = sorted(self.naming.legend, key=lambda number: (-self.pixels[number], number))
        return [
            f"{self.naming.name(number)}: {100 * self.share(number):.1f} % of pixels, "
            f"{how_many(int(self.photographs[number]), self.noun)}"
            for number in found
            if self.pixels[number]
        ]


def claim_results(out: Path, masks: Iterable[str]) -> None:
    """Make sure that nothing is overwritten but what an earlier run wrote, and note what this one will write.

    Raises:
        UserError: The folder holds a file of such a name that is not its own, or masks of an earlier run that this one
            would leave among its own.
    """
    record = out / _RECORD
    own = _read_record(record)
    planned = [*_TABLES, *(f"{folder}/{name}" for name in masks for folder in ("masks", "overlays"))]
    if left := sorted(path for path in own.difference(planned) if (out / path).exists()):
        raise UserError(
            f"--out {out}: holds {left[0]}"
            + (f" and {len(left) - 1} more files" if len(left) > 1 else "")
            + " of an earlier run, of photographs that are not among these; remove the folder or name another"
        )
    if foreign := [path for path in planned if path not in own and (out / path).exists()]:
        raise UserError(
            f"--out {out}: holds {foreign[0]}"
            + (f" and {len(foreign) - 1} more files" if len(foreign) > 1 else "")
            + " that luss predict did not write and would overwrite; name another folder"
        )
    write_atomically(record, json.dumps(sorted(own.union(planned)), indent=0).encode())


def _read_record(record: Path) -> set[str]:
    """What an earlier run wrote; nothing where the record is not there, or no longer what was written."""
    try:
        found = json.loads(record.read_bytes())
    except (OSError, ValueError):
        return set()
    return {path for path in found if isinstance(path, str)} if isinstance(found, list) else set()


def write_tables(out: Path, summary: Summary, rejected: Sequence[tuple[str, str]]) -> None:
    """Write `rejected.csv`, `legend.csv`, `legend.png` and `summary.csv`."""
    write_csv(out / "rejected.csv", ("path", "reason"), rejected)
    legend = summary.naming.legend
    colors = {number: css_color(number) if number else "#000000" for number in legend}
    rows = [(number, name, colors[number], f"{summary.share(number):.4f}") for number, name in legend.items()]
    write_csv(out / "legend.csv", ("id", "name", "color", "share_of_pixels"), rows)
    counts = [
        (number, name, summary.pixels[number], f"{summary.share(number):.6f}", summary.photographs[number])
        for number, name in legend.items()
    ]
    write_csv(out / "summary.csv", ("id", "name", "pixels", "share_of_pixels", "photographs"), counts)
    lines = [
        (f"{number:>3}  {name}  {100 * summary.share(number):.1f} %", _rgb(colors[number]))
        for number, name in legend.items()
    ]
    write_atomically(out / "legend.png", encode_png(draw_legend(lines)))


def write_page(out: Path, summary: Summary, masks: Mapping[str, str]) -> None:
    """Write `index.html`: what was found, and the overlays of at most 1000 photographs.

    Args:
        out: The folder.
        summary: What was found.
        masks: The name of its mask by each photograph's path.
    """
    rows = "".join(
        f'<tr><td><i style="background:{css_color(number) if number else "#000000"}"></i>{html.escape(name)}</td>'
        f"<td>{100 * summary.share(number):.1f} %</td><td>{summary.photographs[number]}</td></tr>\n"
        for number, name in summary.naming.legend.items()
    )
    shown = list(masks.items())[:_SHOWN]
    pictures = "".join(
        f'<figure><a href="masks/{quote(mask)}"><img loading="lazy" src="overlays/{quote(mask)}" alt=""></a>'
        f"<figcaption>{html.escape(path)}</figcaption></figure>\n"
        for path, mask in shown
    )
    more = f"<p>All {how_many(len(masks), summary.noun)} lie in overlays/.</p>" if len(masks) > len(shown) else ""
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>Segmented {summary.noun}s</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{how_many(len(masks), summary.noun)}</h1>\n"
        f"<table><tr><th>category</th><th>of pixels</th><th>{summary.noun}s</th></tr>\n{rows}</table>\n"
        f"<main>\n{pictures}</main>{more}</body></html>\n"
    )
    write_atomically(out / "index.html", page.encode())


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    write_atomically(path, text.getvalue().encode())


def _rgb(color: str) -> UInt8:
    return np.frombuffer(bytes.fromhex(color[1:]), np.uint8)
