"""The page of `luss names` in a real browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stages.core.artifacts.categories import centroid_hash
from stages.core.artifacts.names import read_naming
from stages.core.artifacts.names_content import read_names
from tests.browser import Page, open_page
from tests.fabricate import project
from tests.flows.naming import fabricate_named, serve

__all__ = ["project"]

SAID = "document.getElementById('said').textContent"


@pytest.fixture(autouse=True)
def _project(project: object) -> None:
    """Every test here starts in an empty project."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with open_page("about:blank") as page:
        yield page


def state(page: Page) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(page.run("JSON.stringify(state)"))
    return found


def save(page: Page) -> None:
    page.press("s", control=True)
    page.wait(f"{SAID}.startsWith('Saved')")


def test_named_merged_split_undone_and_saved_by_keys_alone(browser: Page) -> None:
    fabricate_named()
    with serve() as address:
        browser.open(address)
        browser.press("Enter", *"dog", "Enter", *"cat", "Enter", "Escape")
        browser.press("k", "b", "k", "x", "j", "j", "x", "m")  # background and then merging 1 and 3
        assert state(browser) == {
            "names": {"1": "dog", "2": "cat"},
            "into": {"3": "1"},
            "marks": {"2": "background"},
            "parts": {},
        }
        browser.press("z", "z")
        assert state(browser)["marks"] == {}
        browser.press("Z", "Z")
        browser.run("focusCard(cards.get('5'))")
        browser.press("s")
        browser.wait("document.querySelector('#window [data-preview]')")
        browser.run("document.querySelector('[data-preview=\"2\"]').focus()")
        browser.press("Enter")
        browser.wait("document.querySelector('[data-split]')")
        browser.run("document.querySelector('[data-split]').focus()")
        browser.press("Enter")
        browser.wait("cards.has('5.2')")
        browser.press("j", "h")
        save(browser)
        naming = read_naming(5)
        assert (naming.names, naming.shown.tolist()) == ({1: "dog"}, [0, 1, 0, 1, 4, 5])
        assert read_naming(7).shown.tolist() == [0, 1, 0, 1, 4, 5, 6, 0]
        before = state(browser)
        browser.open(address)
        assert state(browser) == before
        assert browser.run("document.getElementById('count').textContent") == "2 named, 1 merged, of 6"


def test_the_second_of_two_pages_does_not_write_over_the_first(browser: Page) -> None:
    fabricate_named()
    with serve() as address:
        browser.open(address)
        Path("names.yaml").write_text(f"centroids: {centroid_hash()}\ncategories: [{{name: cow, ids: [4]}}]\n")
        browser.press("Enter", *"dog", "Enter")
        browser.press("s", control=True)
        browser.wait(f"{SAID}.includes('was changed since this page was opened')")
        assert [entry.name for entry in read_names().categories] == ["cow"]
        assert "name: dog" in browser.run("document.getElementById('draft').value")
        browser.run("document.getElementById('force').click()")
        browser.wait(f"{SAID}.startsWith('Saved')")
        assert [entry.name for entry in read_names().categories] == ["dog"]


def test_what_was_not_saved_is_there_after_a_reload_and_other_clusters_are_refused(browser: Page) -> None:
    fabricate_named()
    with serve() as address:
        browser.open(address)
        browser.press("Enter", *"dog", "Enter")
        browser.open(address)
        assert browser.run("document.getElementById('unsaved').hidden") is False
        browser.run("document.getElementById('bring').click()")
        browser.wait("state.names['1'] === 'dog'")
        fabricate_named(clusters=4)
        browser.press("s", control=True)
        browser.wait(f"{SAID}.includes('nothing was saved: these names are of clusters')")
        assert state(browser)["names"] == {"1": "dog"}
        assert read_names().categories == ()


def test_five_hundred_clusters(browser: Page) -> None:
    fabricate_named(500, 500, pixels=False)
    with serve() as address:
        begin = time.perf_counter()
        browser.open(address)
        painted = browser.run("performance.getEntriesByType('paint').at(-1)?.startTime ?? NaN")
        heap = browser.run("performance.memory.usedJSHeapSize")
        ready, memory = time.perf_counter() - begin, psutil.Process().memory_info().rss
        print(f"painted {painted:.0f} ms, ready {ready:.1f} s, heap {heap / 1e6:.0f} MB; {memory / 1e6:.0f}")
        browser.press("Enter", *"first", "Enter", "Escape")
        browser.run("focusCard(cards.get('500'))")
        browser.press("Enter", *"last", "Enter")
        save(browser)
    assert read_naming(500).names == {1: "first", 500: "last"}


def test_a_narrow_window_needs_no_sideways_scrolling(browser: Page) -> None:
    fabricate_named(2, 24)
    with serve() as address:
        browser.resize(360, 740)
        browser.open(address)
        browser.press("Enter", *("long" * 20), "Enter", "Escape", "x", "k", "x", "m")
        assert len(state(browser)["into"]) == 1
        assert browser.run("document.documentElement.scrollWidth") <= 360
        assert browser.run("Math.max(...visible().map((node) => node.getBoundingClientRect().right))") <= 360
        assert browser.run("columns()") == 1
        browser.call("Emulation.clearDeviceMetricsOverride")
