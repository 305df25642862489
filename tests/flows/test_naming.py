"""`luss names`: what is saved, what is refused, and what the next run learns; the page in a browser is apart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from fastapi.testclient import TestClient
from httpx import Response

from flows.cli.names import apply_names
from flows.naming.app import make_app
from flows.naming.applying import categories_of
from flows.naming.entries import Fields, fields_of
from flows.naming.names_file import revision
from flows.recipes.composing import Recipe, write_params
from stages.core.artifacts.categories import centroid_hash
from stages.core.artifacts.names import read_naming
from stages.core.artifacts.names_content import read_names
from stages.core.config.params import read_params
from stages.core.errors import UserError
from tests.fabricate import project
from tests.flows.naming import TOKEN, fabricate_named
from tests.project.rooms import ROOT

__all__ = ["project"]


@pytest.fixture
def page(project: Path) -> Iterator[TestClient]:
    fabricate_named()
    with TestClient(make_app(TOKEN), base_url=f"http://127.0.0.1/{TOKEN}/", follow_redirects=False) as client:
        yield client


def save(page: TestClient, seen: str | None = None, **fields: object) -> Response:
    sent = {"fields": fields, "centroids": centroid_hash(), "revision": revision() if seen is None else seen}
    return page.post("save", json=sent)


def test_the_file_reads_back_as_what_was_typed(page: TestClient) -> None:
    typed = {
        "names": {"1": 'Größe: "a", b', "4.2": "dog"},
        "into": {"3": "4.2"},
        "marks": {"2": "hidden"},
        "parts": {"4": 2},
    }
    assert save(page, **typed).status_code == 200
    assert yaml.safe_load(Path("names.yaml").read_text()) == {
        "centroids": centroid_hash(),
        "splits": [{"id": 4, "parts": [6, 7]}],
        "categories": [
            {"name": 'Größe: "a", b', "ids": [1]},
            {"ids": [2], "hidden": True},
            {"name": "dog", "ids": [7, 3]},
        ],
    }
    assert fields_of(read_names()) == Fields.model_validate(typed)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"names": {"1": "dog", "2": " dog"}}, "the name 'dog' twice, of 1 and 2: merge the two"),
        ({"names": {"1": "background"}}, "category 1: 'background' is what hidden categories become"),
        ({"into": {"1": "9"}}, "category 1: merged into 9, which is no category of its own"),
        ({"parts": {"1": 1}}, "category 1: cannot be cut into 1 parts"),
        ({"names": 3}, "this is not what the page sends"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(page: TestClient, fields: dict[str, object], said: str) -> None:
    before = Path("names.yaml").read_bytes()
    answer = save(page, **fields)
    assert (answer.status_code, said in answer.json()["message"]) == (422, True)
    assert Path("names.yaml").read_bytes() == before


def test_without_javascript_the_form_names_and_tells_what_is_wrong(page: TestClient) -> None:
    hidden = {"centroids": centroid_hash(), "revision": revision()}
    twice = page.post("save", data={**hidden, "name-1": "dog", "name-2": "dog", "name-3": ""})
    assert twice.status_code == 422
    assert "the name &#39;dog&#39; twice" in twice.text
    assert twice.text.count('value="dog"') == 2
    done = page.post("save", data={**hidden, "name-1": "dog", "into-2": "1", "mark-3": "background", "parts-5": "2"})
    assert (done.status_code, done.headers["location"]) == (303, "./?saved")
    assert read_naming(5).shown.tolist() == [0, 1, 1, 0, 4, 5]
    assert 'name="parts-5" value="2"' in page.get("./").text
    late = page.post("save", data={**hidden, "name-1": "cow"})
    assert late.status_code == 409
    assert "was changed since this page was opened" in late.text
    assert "- name: cow" in late.text
    assert read_naming(5).names == {1: "dog"}


def test_other_clusters_or_none_refuse_the_save_and_a_new_page_shows_them(page: TestClient) -> None:
    assert save(page, names={"1": "dog"}).status_code == 200
    old, before = centroid_hash(), Path("names.yaml").read_bytes()
    fabricate_named(clusters=4)
    Path("names.yaml").write_bytes(before)
    stale = page.post("save", json={"fields": {"names": {"1": "cow"}}, "centroids": old, "revision": revision()})
    assert stale.status_code == 409
    assert "there are others now" in stale.json()["message"]
    assert "name: cow" in stale.json()["draft"]
    assert "its names are left out here" in page.get("./").text
    assert save(page, names={"1": "cat"}).status_code == 200
    assert Path(f"names-{old[:12]}.yaml").read_bytes() == before
    Path("artifacts/cluster").rename("artifacts/moved")
    assert "there are no clusters yet" in page.get("./").text


def test_comments_and_photographs_that_are_gone(page: TestClient) -> None:
    Path("names.yaml").write_text("# Ours.\ncentroids: null\ncategories: []\n")
    assert save(page, names={"1": "dog"}).status_code == 200
    assert Path("names.yaml").read_text().splitlines()[1] == "# Ours."
    assert page.get("picture/1/0?cut").headers["content-type"] == "image/jpeg"
    next(Path("data").rglob("007.png")).unlink()
    assert page.get("picture/2/7").status_code == 409
    assert page.get("./").status_code == 200
    Path("names.yaml").write_text("centroids: null\ncategories: [{nam: x}]\n")
    assert "names.yaml:2: categories.0.nam: no such field" in page.get("./").text


def test_nothing_is_shown_without_the_token_or_under_another_name(page: TestClient) -> None:
    assert page.get("http://127.0.0.1/").status_code == 403
    assert page.post("http://127.0.0.1/other/save").status_code == 403
    assert page.get("./", headers={"host": "evil.example"}).status_code == 400
    answer = page.get("./")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "//" not in answer.text.replace("http-equiv", "").replace("</", "")


def test_neighbors_are_by_cosine(page: TestClient) -> None:
    from stages.core.artifacts.clusters import read_centroids

    vectors = read_centroids().embeddings
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    other = int(np.argsort(-(unit @ unit[0]))[1]) + 1
    first = page.get("./").text.partition('id="c2"')[0]
    assert first.partition("near: ")[2].partition('data-near="')[2].startswith(f'{other}"')


def prepare_params(method: str = "luss") -> None:
    (Path() / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    write_params(Recipe(method, "sample"))


def test_apply_changes_pseudolabel_alone(page: TestClient) -> None:
    prepare_params()
    before = read_params()
    assert apply_names() == []
    assert save(page, into={"3": "1"}, marks={"2": "background", "5": "hidden"}, parts={"4": 2}).status_code == 200
    assert apply_names() == ["pseudolabel"]
    after = read_params()
    assert {stage for stage in before if before[stage] != after[stage]} == {"pseudolabel"}
    assert after["pseudolabel"]["categories"] == {
        "centroids": centroid_hash(),
        "splits": [{"id": 4, "parts": [6, 7]}],
        "merged": [[1, 3]],
        "background": [2],
    }
    assert save(page, names={"1": "dog"}).status_code == 200
    assert apply_names() == ["pseudolabel"]
    assert read_params()["pseudolabel"]["categories"] is None


@pytest.mark.parametrize(
    ("method", "said"), [("transfgu", "cannot learn merged"), ("maskcontrast", "learns nothing of their")]
)
def test_apply_says_which_methods_cannot_learn_it(page: TestClient, method: str, said: str) -> None:
    prepare_params(method)
    with pytest.raises(UserError, match=said):
        categories_of()


def test_without_clusters_the_command_says_what_to_run(project: Path) -> None:
    command = [sys.executable, "-m", "flows", "names"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == "luss: there are no clusters yet in artifacts/cluster; run `dvc repro cluster`\n"
