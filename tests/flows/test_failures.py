"""How failures are told: full disks whatever they are wrapped in, and faults of our own without anybody's data."""

import errno
import os
import re
import resource
from pathlib import Path

import click
import polars as pl
import pytest

import flows.__main__ as command_line
from components.errors import NoRoomError, StoreError
from components.parquet import write_parquet
from flows.failures import failure_of


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Return an error as it is after it was raised and caught."""
    try:
        raise error from cause
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        OSError(errno.EFBIG, os.strerror(errno.EFBIG)),
        pl.exceptions.ComputeError("failed: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:672] . write: No space left on device"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_no_room_is_told_with_what_is_free(error: Exception, is_wrapped: bool) -> None:
    failure = failure_of(raised(StoreError("records/a.json could not be written."), error) if is_wrapped else error)
    assert (failure.kind, failure.exit_code) == ("NoRoomError", 8)
    assert failure.message.startswith("records/a.json could not be written." if is_wrapped else "There is no room left")
    for part in (
        f"HOMEROOM_STORE ({os.environ['HOMEROOM_STORE']}): ",
        "TMPDIR",
        "MB free of",
        "the same command again",
    ):
        assert part in failure.message


def test_a_fault_of_our_own_shows_its_place_and_not_its_text() -> None:
    failure = failure_of(raised(KeyError("anna")))
    assert failure.exit_code == 70
    assert failure.message.startswith("A fault in homeroom: KeyError in test_failures.py, line ")
    assert "HOMEROOM_TRACEBACK=1" in failure.message
    assert "anna" not in failure.message


def test_a_file_that_cannot_be_used_is_a_place(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        (tmp_path / "none" / "answers.csv").write_text("")
    failure = failure_of(caught.value)
    assert failure.exit_code == 4
    assert failure.message.startswith(f"{tmp_path}/none/answers.csv: No such file or directory. Check the path")


@pytest.mark.parametrize("wanted", [None, "0", "1"])
def test_a_traceback_is_shown_to_who_asks_for_it(
    wanted: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def broken() -> None:
        raise KeyError("anna")

    monkeypatch.setattr(command_line, "cli", broken)
    if wanted is not None:
        monkeypatch.setenv("HOMEROOM_TRACEBACK", wanted)
    with pytest.raises(SystemExit) as ended:
        command_line.main([])
    assert ended.value.code == 70
    assert ("Traceback" in capsys.readouterr().err) is (wanted == "1")


def test_parquet_on_a_full_disk_says_how_much_is_there_and_leaves_no_half(tmp_path: Path) -> None:
    path = tmp_path / "interactions.parquet"
    frame = pl.DataFrame({"a": range(100_000)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))  # no file may be longer, as if the disk were full
    try:
        with pytest.raises(NoRoomError) as caught:
            write_parquet(frame, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not path.exists()
    assert str(caught.value).startswith(f"interactions.parquet could not be written to {tmp_path}: File too large. It")
    assert re.search(r"takes up to 0\.80 MB, and the disk has [\d,.]+ MB free", str(caught.value))


def test_parquet_in_a_folder_that_is_gone_is_a_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"could not be written to .*: NotADirectoryError: Not a directory"):
        write_parquet(pl.DataFrame({"a": [1]}), tmp_path / "file" / "a.parquet")
