"""Exit codes and messages of a stage's command line."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages.core.cli import guard, run_stage, worker_count
from stages.core.config.params import Params
from stages.core.errors import UserError


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def failing(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("params.yaml: wrong"), 1, "cluster: params.yaml: wrong"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError("8 GB"), 1, "out of memory (8 GB)"),
        (OSError(errno.ENOSPC, "No space left on device", "out.parquet"), 1, "out.parquet: the disk is full"),
        (OSError(errno.EFBIG, "File too large", "out.parquet"), 1, "out.parquet: a file may not grow this large"),
        (PermissionError(errno.EACCES, "Permission denied", "artifacts"), 1, "artifacts: not allowed"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), 1, "longer than the file system allows"),
        (FileExistsError(errno.EEXIST, "File exists", "artifacts"), 1, "artifacts: a file lies where a folder"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", b"caf\xe9"), 1, "caf\\udce9: a file lies where"),
    ],
)
def test_what_a_user_can_mend_is_one_message(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guard("cluster", failing(error)) == code
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_a_name_of_any_bytes_can_be_printed(tmp_path: Path) -> None:
    script = "import sys; from stages.core.cli import guard; sys.exit(guard('x', lambda: print('caf\\udce9', '±')))"
    for encoding in ("utf-8", "ascii"):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(b"caf\\udce9 ")


def test_success_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert guard("cluster", lambda: None) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [ValueError("bug"), OSError(errno.EIO, "Input/output error")])
def test_a_bug_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        guard("cluster", failing(error))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts(number: int) -> None:
    assert guard("cluster", lambda: os.kill(os.getpid(), number)) == 130


def test_the_command_reads_its_section_and_names_a_wrong_field(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("index:\n  method: foldr\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "stages.index"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("index: params.yaml: section 'index' is not valid\n  index.method = 'foldr'")
    assert "Traceback" not in done.stderr


def test_a_project_without_code_json_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stages").mkdir()
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params.yaml").write_text("cluster: {}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cluster"])
    ran: list[Params] = []
    with pytest.raises(SystemExit, match="1"):
        run_stage("cluster", Params, ran.append)
    assert "cluster: code.json: has no entry for cluster.stage; run `python -m stages.core.f" in capsys.readouterr().err
    (tmp_path / "dvc.yaml").unlink()
    with pytest.raises(SystemExit, match="0"):
        run_stage("cluster", Params, ran.append)
    assert len(ran) == 1


def test_worker_count_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSS_WORKERS", "7")
    assert worker_count() == 7
    monkeypatch.delenv("LUSS_WORKERS")
    assert worker_count() == len(os.sched_getaffinity(0))
    for wrong in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("LUSS_WORKERS", wrong)
        with pytest.raises(UserError, match=f"LUSS_WORKERS='{wrong}'"):
            worker_count()
