"""What `luss doctor` finds, each in a folder or installation where it is so."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows.doctor.categories import check_category_names
from flows.doctor.checks import (
    check_clashes,
    check_data_names,
    check_lock_file,
    check_locks,
    check_params,
    check_port,
    check_python,
    check_versions,
)
from flows.doctor.disk import check_cache_links, check_disk
from flows.doctor.environment import (
    check_compiled_loops,
    check_folders,
    check_git,
    check_open_files,
    check_server,
    check_shared_memory,
)
from flows.doctor.finding import Finding
from flows.doctor.fingerprints import check_code
from stages.core.artifacts.categories import centroid_hash
from stages.core.fingerprint import write_fingerprints
from tests.fabricate import fabricate_clusters
from tests.flows.test_commands import luss
from tests.project.rooms import ROOT

GOOD = {"torch": "2.6", "timm": "1.0", "dvc": "3.67", "prefect": "3.8", "fastapi": "0.150.0", "numpy": "2.0"}


def test_this_python_will_do() -> None:
    assert not check_python().remedy


def test_a_missing_package_is_named() -> None:
    assert not check_versions(GOOD.get).remedy
    assert "missing: prefect" in check_versions({**GOOD, "prefect": None}.get).remedy


@pytest.mark.parametrize(
    ("more", "remedy"),
    [
        ({}, None),
        ({"opencv-contrib-python-headless": "4.10"}, None),
        ({"fastapi": "0.151.0"}, "fastapi<0.151"),
        ({"fastapi": "1.0"}, "fastapi<0.151"),
        ({"opencv-python": "4", "opencv-contrib-python-headless": "4"}, "pip uninstall -y opencv-python "),
        ({"faiss-cpu": "1", "faiss-gpu": "1"}, "pip uninstall -y faiss-cpu faiss-gpu"),
    ],
)
def test_what_does_not_go_together_is_found(more: dict[str, str], remedy: str | None) -> None:
    findings = list(check_clashes({**GOOD, **more}.get))
    assert [remedy in finding.remedy for finding in findings] == ([True] if remedy else [])


def test_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stages/index").mkdir(parents=True)
    main = tmp_path / "stages/index/__main__.py"
    main.write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    assert check_code().remedy == "python -m stages.core.fingerprint"
    write_fingerprints()
    assert not check_code().remedy
    main.write_text("x = (\n")
    assert "__main__.py:1: not valid Python" in check_code().remedy


def test_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert check_params().remedy == "luss use METHOD DATASET"
    (tmp_path / "dvc.yaml").write_text("stages: {cluster: {}}\n")
    (tmp_path / "params.yaml").write_text("cluster: {method: kmaens}\n")
    assert "kmaens" in check_params().remedy


def write_data(project: Path, size: float) -> None:
    (project / "data.dvc").write_text(f"outs: [{{path: data, size: {int(size)}, nfiles: 3}}]\n")


def write_lock(project: Path, data: float, written: float) -> None:
    index = f"{{deps: [{{path: data, size: {int(data)}}}], outs: [{{path: a, size: {int(written) // 2}}}]}}"
    evaluate = f"{{deps: [{{path: b, size: 1}}], outs: [{{path: c, size: {int(written) // 2}}}]}}"
    (project / "dvc.lock").write_text(f"stages:\n  index: {index}\n  evaluate: {evaluate}\n")


def test_too_little_disk_is_told_with_numbers_of_the_last_run(project: Path) -> None:
    write_data(project, 100e9)
    assert "no run in dvc.lock yet" in check_disk(project, int(101e9)).found
    # A tenth of the data was written: once to the workspace, once to the cache, beside the cache's copy of the data.
    write_lock(project, 10e9, 1e9)
    short = check_disk(project, int(115e9))
    assert "data 100.0 GB; a run may take 120.0 GB" in short.found
    assert short.remedy
    assert not check_disk(project, int(125e9)).remedy
    write_data(project, 0)
    assert not check_disk(project, int(3e9)).remedy


def test_a_large_data_set_is_better_linked(project: Path) -> None:
    write_data(project, 1e9)
    assert not check_cache_links(project).remedy
    write_data(project, 100e9)
    assert "cache.type" in check_cache_links(project).remedy
    subprocess.run([sys.executable, "-m", "dvc", "config", "cache.type", "hardlink,symlink"], cwd=project, check=True)
    linked = check_cache_links(project)
    assert (linked.found, linked.remedy) == ("links by hardlink, symlink", "")
    write_lock(project, 10e9, 1e9)
    assert not check_disk(project, int(11e9)).remedy
    assert check_disk(project, int(9e9)).remedy


def test_names_that_dvc_cannot_take_are_shown(tmp_path: Path) -> None:
    assert check_data_names(tmp_path / "data").found == f"no {tmp_path / 'data'}/ yet"
    (tmp_path / "data" / "é").mkdir(parents=True)
    (tmp_path / "data" / "é" / "ü.jpg").touch()
    assert not check_data_names(tmp_path / "data").remedy
    for name in (b"caf\xe9.jpg", b".hidden\xff", *(b"%d\xe9" % number for number in range(5))):
        (tmp_path / "data" / "é" / os.fsdecode(name)).touch()
    told = check_data_names(tmp_path / "data").remedy
    assert "data: 7 names are not UTF-8, which DVC needs; rename:" in told
    assert r"é/.hidden\xff" in told
    assert "... and 2 more" in told


def test_locks_of_the_living_and_of_the_dead(tmp_path: Path) -> None:
    path = tmp_path / "rwlock"
    assert check_locks(path).found == "none"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path.write_text(json.dumps({"write": {"a": {"pid": gone.pid, "cmd": "dvc repro"}}}))
    assert check_locks(path).found == "1 left by processes that are gone; the next run drops them"
    path.write_text(json.dumps({"read": {"a": [{"pid": os.getpid(), "cmd": "dvc repro"}]}}))
    assert check_locks(path).found == f"process {os.getpid()}: dvc repro"
    assert check_locks(path).remedy


def test_a_lock_file_that_a_kill_tore_is_found(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    assert not check_lock_file(path).remedy
    whole = (ROOT / "dvc.lock").read_text()
    path.write_text(whole)
    assert check_lock_file(path).found == "11 stages have run"
    for torn in ("", whole[:5], whole[: whole.index("stages:") + 3], whole[: whole.index("size:") + 2]):
        path.write_text(torn)
        assert "git checkout dvc.lock" in check_lock_file(path).remedy


class Healthy(BaseHTTPRequestHandler):
    """Answers as a Prefect server does when asked for its health, and as none does otherwise."""

    answer = b"true"

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("answer", "found"), [(b"true", "a Prefect server answers"), (b"hello", "in use by something")]
)
def test_a_port_in_use(answer: bytes, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Healthy, "answer", answer)
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert found in check_port(server.server_port).found
        server.shutdown()


def test_a_free_port() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert check_port(port).found.startswith(f"{port} is free")


def test_outside_a_project_it_says_so_and_fails(tmp_path: Path) -> None:
    done = luss(tmp_path, "doctor")
    assert done.returncode == 1
    assert "not a project" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(("total", "is_enough"), [(64 << 20, False), (8 << 30, True)])
def test_the_shared_memory_of_a_container_is_small(total: int, is_enough: bool) -> None:
    assert ("--shm-size" in check_shared_memory(total).remedy) != is_enough


@pytest.mark.parametrize(("limit", "is_enough"), [(64, False), (1024, True), (-1, True)])
def test_few_open_files_are_advised_against(limit: int, is_enough: bool) -> None:
    assert (not check_open_files(limit).remedy) == is_enough


def test_a_server_that_cannot_be_is_found_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, PREFECT_API_URL, temporary_settings

    (tmp_path / "prefect.db").write_bytes(b"torn" * 1000)
    url = f"sqlite+aiosqlite:///{tmp_path / 'prefect.db'}"
    with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: url}):
        assert "damaged" in check_server().remedy
    with temporary_settings({PREFECT_API_URL: "127.0.0.1:4200/api"}):
        assert "is no address" in check_server().remedy


def test_folders_that_cannot_be_written_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not check_folders().remedy
    assert "not a git repository" in check_git().remedy
    (tmp_path / "artifacts").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "artifacts")  # A mode would not bind root.
    assert f"{tmp_path / 'artifacts'}: a run writes there" in check_folders().remedy


def test_compiled_loops_want_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("core/images", "core/metrics"):
        (tmp_path / "stages" / room).mkdir(parents=True)
    (tmp_path / "cache").mkdir()
    assert check_compiled_loops(tmp_path / "stages", tmp_path / "cache").found.endswith("cache")
    monkeypatch.setattr(os, "access", lambda path, mode: tmp_path / "stages" in (path, *path.parents))
    assert check_compiled_loops(tmp_path / "stages", tmp_path / "cache").found.endswith("beside the code")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "NUMBA_CACHE_DIR" in check_compiled_loops(tmp_path / "stages", tmp_path / "cache").remedy


def test_names_of_categories_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert check_category_names() == Finding("categories", "0 named in names.yaml", "", is_fatal=False)
    fabricate_clusters([0, 1, 2], ["a", "b", "c"], 3)
    names = "centroids: {hash}\ncategories:\n- {{ids: [{id}], name: dog}}\n"
    Path("names.yaml").write_text(names.format(hash=centroid_hash()[:12], id=2))
    assert check_category_names() == Finding("categories", "1 named in names.yaml", "", is_fatal=False)
    Path("names.yaml").write_text(names.format(hash=centroid_hash()[:12], id=4))
    assert "no category 4; there are 1 to 3" in check_category_names().remedy
    Path("names.yaml").write_text(names.format(hash="f" * 12, id=2))
    assert "speaks of other clusters" in check_category_names().remedy
