"""names.yaml: what is merged and hidden, whose categories it speaks of, and every error with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.core.artifacts.categories import centroid_hash
from stages.core.artifacts.names import read_naming
from stages.core.artifacts.names_content import NAMES_FILE, NamedCategory, NamesFile, encode_names
from stages.core.errors import UserError
from tests.fabricate import fabricate_clusters
from tests.project.rooms import ROOT


@pytest.fixture(autouse=True)
def _clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fabricate_clusters([0, 1, 2, 3, 4, 5], [f"train/{number}" for number in range(6)], 6)


def write(text: str) -> None:
    NAMES_FILE.write_text(text.replace("HASH", centroid_hash()[:12]))


def test_merged_hidden_and_unnamed_categories() -> None:
    entries = "- {name: 'dog, \"big\": 1', ids: [5, 2]}\n- {name: sky, ids: [3], hidden: true}\n"
    write(f"centroids: HASH\ncategories:\n{entries}")
    naming = read_naming(6)
    np.testing.assert_array_equal(naming.shown, [0, 1, 5, 0, 4, 5, 6])
    assert naming.legend == {0: "background", 1: "category 1", 4: "category 4", 5: 'dog, "big": 1', 6: "category 6"}
    np.testing.assert_array_equal(naming.apply(np.array([[0, 2], [5, 3]], np.uint8)), [[0, 5], [5, 0]])
    assert naming.warning == ""


def test_what_is_written_is_read_again() -> None:
    entries = (NamedCategory(name="Größe: a, 'b'", ids=(2, 1)), NamedCategory(name="true", ids=(4,), hidden=True))
    NAMES_FILE.write_text(encode_names(NamesFile(centroids=centroid_hash(), categories=entries)))
    naming = read_naming(6)
    assert (naming.names, naming.shown.tolist()) == ({2: "Größe: a, 'b'"}, [0, 2, 2, 3, 0, 5, 6])
    assert encode_names(NamesFile()) == (ROOT / "names.yaml").read_text()


@pytest.mark.parametrize("text", [None, "", "# nothing\n", "categories: []\n", "centroids: null\n"])
def test_no_names_are_no_problem(text: str | None) -> None:
    if text is not None:
        NAMES_FILE.write_text(text)
    naming = read_naming(3)
    assert (naming.shown.tolist(), naming.names, naming.warning) == ([0, 1, 2, 3], {}, "")


def test_names_of_other_clusters_are_left_out_with_a_word() -> None:
    write("centroids: HASH\ncategories: [{name: dog, ids: [1, 2]}]\n")
    before = centroid_hash()[:12]
    fabricate_clusters([0, 1], ["train/a", "train/b"], 2)
    naming = read_naming(2)
    assert (naming.shown.tolist(), naming.names) == ([0, 1, 2], {})
    assert (
        f"speaks of other clusters ({before}) than artifacts/cluster holds now ({centroid_hash()[:12]})"
        in naming.warning
    )


def test_a_model_that_was_copied_alone_has_no_clusters_to_compare_with() -> None:
    write("centroids: HASH\ncategories: [{name: dog, ids: [1, 2]}]\n")
    assert read_naming(6, out=Path("elsewhere")).names == {1: "dog"}


HEAD = "centroids: HASH\ncategories:\n- {name: dog, ids: [1]}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"{HEAD}- name: dog\n  ids: [2]\n",
            "names.yaml:4: 'dog': a name twice; write all ids into one",
        ),
        (f"{HEAD}- {{name: cat, ids: [3, 1]}}\n", "names.yaml:4: 'cat': ids: category 1 stands in 'dog' already"),
        (f"{HEAD}- {{name: cat, ids: [7]}}\n", "names.yaml:4: 'cat': ids: no category 7; there are 1 to 6"),
        (f"{HEAD}- {{name: cat, ids: [0]}}\n", "names.yaml:4: 'cat': ids: no category 0; there are 1 to 6"),
        (
            f"{HEAD}- name: cat\n  ids:\n  - 2\n  - three\n",
            "names.yaml:7: categories.1.ids.1: input should be a valid",
        ),
        (f"{HEAD}- name: cat\n  id: [2]\n", "names.yaml:5: categories.1.id: no such field .did you mean 'ids'"),
        (
            f"{HEAD}- name: cat\n  ids: [2]\n  hiden: true\n",
            "names.yaml:6: .*hiden: no such field .did you mean",
        ),
        (f"{HEAD}- name: no\n  ids: [2]\n", "names.yaml:4: categories.1.name: must be a text; put it in quotes"),
        (
            f"{HEAD}- name: Background\n  ids: [2]\n",
            "names.yaml:4: categories.1.name: is what hidden",
        ),
        (f"{HEAD}- name: category 3\n  ids: [2]\n", "names.yaml:4: categories.1.name: is how categories without"),
        (f"{HEAD}- name: 'a '\n  ids: [2]\n", "names.yaml:4: categories.1.name: must be one line without space"),
        (f"{HEAD}- name: ''\n  ids: [2]\n", "names.yaml:4: categories.1.name: string should have at least 1"),
        (f"{HEAD}- name: cat\n  ids: []\n", "names.yaml:5: categories.1.ids: tuple should have at least 1"),
        (f"{HEAD}- name: cat\n  name: bird\n  ids: [2]\n", "names.yaml:5: name: stands here twice"),
        (f"{HEAD}- name: [cat\n", "names.yaml:5: not valid YAML"),
        (f"{HEAD}- {{name: cat, ids: 2}}\n", r"names.yaml:4: categories.1.ids: must be a list, as \[1, 2\]"),
        (f"{HEAD}- cat\n", "names.yaml:4: categories.1: must be fields with values"),
        (f"{HEAD}- {{name: cat, ids: [2], hidden: x}}\n", "names.yaml:4: categories.1.hidden: must be true or false"),
        ("categories:\n  dog: [1]\n", "names.yaml:2: categories: must be a list of entries"),
        ("- dog\n- cat\n", "names.yaml:1: the file: must hold centroids: and categories:$"),
        (
            "categories: [{name: dog, ids: [1]}]\n",
            "names.yaml: centroids: say which .*: centroids: [0-9a-f]{12}$",
        ),
        ("centroids: 12\n", "names.yaml:1: centroids: must be a text; put it in quotes"),
    ],
)
def test_an_error_names_its_line(text: str, said: str) -> None:
    write(text)
    with pytest.raises(UserError, match=f"^{said}"):
        read_naming(6)


def test_only_the_report_runs_again_for_a_name() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert [stage for stage, entry in stages.items() if NAMES_FILE.name in entry["deps"]] == ["evaluate"]


CUT = "centroids: HASH\nsplits: [{id: 3, parts: [7, 8]}]\ncategories:\n"


def test_parts_are_named_before_and_after_they_are_learnt() -> None:
    write(f"{CUT}- {{name: dog, ids: [8, 1]}}\n- {{ids: [2], background: true}}\n- {{ids: [4, 5]}}\n")
    before, after = read_naming(6), read_naming(8)
    assert (before.names, before.shown.tolist()) == ({1: "dog"}, [0, 1, 0, 3, 4, 4, 6])
    assert (after.names, after.shown.tolist()) == ({8: "dog"}, [0, 8, 0, 3, 4, 4, 6, 7, 8])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{CUT}- {{name: dog, ids: [3]}}\n", "names.yaml:4: 'dog': ids: cluster 3 is cut into 7, 8; name those"),
        (f"{CUT}- {{ids: [9]}}\n", "names.yaml:4: category 9: ids: no category 9; there are 1 to 8"),
        (
            CUT.replace("7, 8", "8, 7") + "- {ids: [1]}\n",
            "names.yaml: splits: parts must be numbered on from the clusters: 7, 8",
        ),
        (CUT.replace("id: 3", "id: 7") + "- {ids: [1]}\n", "names.yaml: splits: no cluster 7; there are 1 to 6"),
    ],
)
def test_an_error_of_a_split_is_named(text: str, said: str) -> None:
    write(text)
    with pytest.raises(UserError, match=f"^{said}"):
        read_naming(6)
