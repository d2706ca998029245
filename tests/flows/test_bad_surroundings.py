"""Places, devices, disks and processes that fail at the command line: each has its message and its exit code."""

import contextlib
import http.server
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import components.errors
from components.store import Store
from tests.flows.told import (
    GOOD,
    ingest,
    rows,
    run,
    table,
    told,
)

ROOT = Path(components.errors.__file__).parents[1]


# -- places ------------------------------------------------------------------------------------------------------------


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers everything with one S3 error."""

    code = "AccessDenied"

    def do_GET(self) -> None:
        body = f'<?xml version="1.0"?><Error><Code>{self.code}</Code><Message>no</Message></Error>'.encode()
        self.send_response({"NoSuchBucket": 404, "ExpiredToken": 400}.get(self.code, 403))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve an S3 that refuses, and forget what other tests' file systems remember."""
    import s3fs

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret-of-the-district")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    yield f"http://127.0.0.1:{server.server_port}"
    s3fs.S3FileSystem.clear_instance_cache()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        ("InvalidAccessKeyId", ["the server does not know the access key", "AWS_ACCESS_KEY_ID"]),
        ("SignatureDoesNotMatch", ["the secret key does not belong to the access key", "AWS_SECRET_ACCESS_KEY"]),
        ("AccessDenied", ["the credentials are known but may not do this", "the server said AccessDenied"]),
        ("ExpiredToken", ["the credentials have expired", "AWS_SESSION_TOKEN"]),
        ("NoSuchBucket", ["there is no such bucket", "Make it, or correct its name"]),
    ],
)
def test_buckets_that_refuse(
    answer: str, parts: list[str], s3: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Refusing, "code", answer)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    code, _, err = told(run("s3://district/logs/a.csv"), capsys)
    assert code == 4
    assert "s3://district/logs/a.csv: " in err
    assert "secret-of-the-district" not in err
    for part in parts:
        assert part in err


@pytest.mark.parametrize(
    ("endpoint", "parts"),
    [
        ("http://127.0.0.1:9", ["nothing answers at the server 127.0.0.1:9: the connection was refused"]),
        ("http://no-such-host.invalid:9000", ["the name of the server no-such-host.invalid:9000 cannot be resolved"]),
    ],
)
def test_servers_that_cannot_be_reached(
    endpoint: str, parts: list[str], s3: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    code, _, err = told(run("s3://district/logs/a.csv"), capsys)
    assert code == 4
    for part in (*parts, "AWS_ENDPOINT_URL"):
        assert part in err


def test_a_store_that_cannot_be_reached(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HOMEROOM_STORE", "s3://district/store")
    code, _, err = told(run(tmp_path / "a.csv"), capsys)
    assert code == 4
    assert "s3://district/store" in err
    assert "127.0.0.1:9" in err


# -- machines ----------------------------------------------------------------------------------------------------------


def test_a_gpu_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "a.csv").write_bytes(table(*rows(students=50)))
    code, out, err = told(run(tmp_path / "a.csv", "--json", "--set", "train.accelerator=cuda"), capsys)
    assert code == 9
    assert "train.accelerator = 'cuda' with train.devices = 1 asks for 1 GPU(s)" in err
    assert "--set train.accelerator=auto" in err
    assert json.loads(out)["error"]["kind"] == "DeviceMissingError"


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_training_process_that_is_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_bytes(table(*rows(students=50)))
    killed: list[int] = []

    def kill_the_training() -> None:
        while not killed:
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    if "components.train" in child.cmdline():
                        child.kill()
                        killed.append(child.pid)
            time.sleep(0.01)

    killer = threading.Thread(target=kill_the_training, daemon=True)
    killer.start()
    code, _, err = told(run(tmp_path / "a.csv"), capsys)
    killer.join()
    assert code == 5
    assert "error: The training process was killed by SIGKILL and left no result." in err
    assert "the machine ran out of memory" in err
    assert "run the same command again: it goes on from the last checkpoint" in err


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.parametrize("most_bytes", [600, 3000, 5000])
def test_a_full_disk(most_bytes: int, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the same steps fail, with EFBIG instead of ENOSPC."""
    (tmp_path / "a.csv").write_bytes(table(*rows(students=60, answers=12)))

    def command(limit: int | None) -> subprocess.CompletedProcess[str]:
        def hold_back() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        return subprocess.run(
            [sys.executable, "-m", "flows", *ingest(tmp_path / "a.csv")],
            preexec_fn=hold_back,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=120,
        )

    failed = command(most_bytes)
    assert failed.returncode == 8, failed.stderr
    assert "error: " in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "MB free" in failed.stderr
    assert "the same command again" in failed.stderr
    store = Store(os.environ["HOMEROOM_STORE"])
    assert not store.list_records("stages")
    for manifest in Path(os.environ["HOMEROOM_STORE"]).glob("artifacts/*/manifest.json"):
        store.verify(store.find(manifest.parent.name))
    done = command(None)
    assert done.returncode == 0, done.stderr
