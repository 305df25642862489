"""Names follow the clusters that share their members, and say where they cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flows.cli.names_following import follow
from flows.workspace import names_following as module
from flows.workspace.names_following import MEMBERS_FILE, follow_names, remember_members
from stages.core.artifacts.categories import centroid_hash
from stages.core.artifacts.clusters import OUT
from stages.core.artifacts.names_content import NAMES_FILE, NamedCategory, NamesFile, encode_names, read_names
from stages.core.errors import UserError
from tests.fabricate import fabricate_clusters

IDS = [f"train/{number:02d}" for number in range(60)]
OLD = np.repeat(np.arange(6), 10)


@pytest.fixture(autouse=True)
def _named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fabricate_clusters(OLD.tolist(), IDS, 6)
    entries = (
        NamedCategory(name="moved", ids=(1,)),
        NamedCategory(name="split", ids=(2,)),
        NamedCategory(name="merged", ids=(4, 3), hidden=True),
        NamedCategory(name="scattered", ids=(5,)),
        NamedCategory(name="swallowed", ids=(6,)),
    )
    NAMES_FILE.write_text(encode_names(NamesFile(centroids=centroid_hash()[:12], categories=entries)))


def cluster_anew() -> None:
    """moved -> 3; split -> 1 and 2; merged -> 4; scattered over all; most of 5 is new members, among them swallowed."""
    new = np.concatenate(
        [np.full(9, 2), [3], np.zeros(5), np.ones(5), np.full(20, 3), np.arange(10) % 5, np.full(10, 5)]
    ).astype(int)
    more = [f"train/x{number:02d}" for number in range(20)]
    fabricate_clusters([*new.tolist(), *[5] * 20], [*IDS, *more], 7)


def test_what_shares_half_both_ways_follows_and_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert remember_members()
    assert not remember_members()
    before, text = centroid_hash()[:12], NAMES_FILE.read_text()
    cluster_anew()
    found = follow_names()
    assert found.followed == [
        "moved: 1 → 3 (90 % of it, 82 % of them)",
        "split: 2 → 1, 2 (100 % of it, 71 % of them)",
        "merged: 4, 3 → 4 (100 % of it, 87 % of them)",
        "swallowed: 6 → 6 (100 % of it, 100 % of them)",
    ]
    assert found.lost == [
        "scattered: 5: no clusters hold half of it and little else; most of it is in 1 (20 % of it, 29 % of that)"
    ]
    now = read_names()
    assert now.centroids == centroid_hash()
    assert [(entry.name, entry.ids, entry.hidden) for entry in now.categories] == [
        ("moved", (3,), False),
        ("split", (1, 2), False),
        ("merged", (4,), True),
        ("swallowed", (6,), False),
    ]
    assert found.kept == Path(f"names.{before}.yaml")
    assert found.kept.read_text() == text, "nothing is lost"
    assert follow_names() == ([], [], None, "")
    fabricate_clusters(OLD.tolist(), IDS, 6)
    back = [("moved", (1,)), ("split", (2,)), ("merged", (3, 4)), ("swallowed", (6,))]
    assert not follow_names().lost, "the new ones were remembered too"
    assert [(entry.name, entry.ids) for entry in read_names().categories] == back


def test_an_old_folder_does_in_place_of_what_was_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    OUT.rename("old")
    cluster_anew()
    with pytest.raises(UserError, match=rf"^{MEMBERS_FILE}: does not know the clusters .*dvc get \. artifacts/cluster"):
        follow()
    with pytest.raises(UserError, match="artifacts/cluster: holds no clusters"):
        follow(OUT)
    assert follow(Path("old")) == 1
    said = capsys.readouterr().out
    assert "follows: moved: 1 → 3" in said
    assert "does not follow: scattered: 5" in said
    assert "what it was lies in names." in said
    assert follow() == 0


def test_members_that_are_gone_do_not_count_and_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_members()
    fabricate_clusters([0] * 5 + [1] * 5, [*IDS[:5], "train/a", "train/b", "train/c", "train/d", "train/e"], 2)
    found = follow_names()
    assert found.followed == ["moved: 1 → 1 (100 % of it, 100 % of them)"]
    assert found.lost[0] == "split: 2: none of its members is left"
    assert len(found.lost) == 4
    assert found.note == "55 of 60 remembered members are gone, and were not counted"


def test_a_sample_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 30)
    remember_members()
    fabricate_clusters((5 - OLD).tolist(), IDS, 7)
    assert not follow_names().lost
    assert [{*entry.ids} for entry in read_names().categories] == [{6}, {5}, {3, 4}, {2}, {1}]


def test_nothing_is_remembered_of_names_of_other_clusters_or_of_none() -> None:
    cluster_anew()
    assert not remember_members()
    NAMES_FILE.unlink()
    assert not remember_members()
    assert not MEMBERS_FILE.exists()
    assert follow_names() == ([], [], None, "")
