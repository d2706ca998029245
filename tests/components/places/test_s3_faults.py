"""A store and logs on an S3 server that fails: what is repeated, what is noticed, how long it takes, what is left."""

import random
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import components.places.remote
from components.artifacts import FairnessReport
from components.errors import (
    ArtifactMissingError,
    ConfigError,
    DependencyMissingError,
    StoreConflictError,
    StoreError,
)
from components.ingest.collect import collect
from components.ingest.files import raw_file
from components.places.explaining import CutShortError
from components.places.remote import RemotePlace
from components.places.s3 import S3Limits
from components.store import Store
from components.testing import (
    ALWAYS,
    S3Fault,
    S3Server,
    abandon_upload,
    cut_body,
    failing,
    hang,
    lose_answer,
    reset,
    slow_down,
    stale_listing,
)
from tests.components.store_cases import DRAFT, FILES

BUCKET = "faulty"
WRITES = ("PutObject", "CopyObject", "DeleteObject")
QUICK = {"CONNECT_S": "2", "READ_S": "2", "TOTAL_S": "20", "ATTEMPTS": "3"}


@pytest.fixture
def s3(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Return a server with limits that make tests quick."""
    for name, value in QUICK.items():
        monkeypatch.setenv(f"HOMEROOM_S3_{name}", value)
    s3.make_bucket(BUCKET)
    return s3


@pytest.fixture
def opened(s3: S3Server, tmp_path: Path) -> Callable[[], Store]:
    """Return a function that opens the test's own store anew."""
    prefix = f"{random.randbytes(6).hex()}/store"
    return lambda: Store(f"s3://{BUCKET}/{prefix}", cache=tmp_path / "cache", storage_options=s3.storage_options())


@pytest.fixture
def output(tmp_path: Path) -> Callable[[], Path]:
    def make() -> Path:
        for name, body in FILES.items():
            (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "out" / name).write_bytes(body)
        return tmp_path / "out"

    return make


@pytest.fixture
def digest(output: Callable[[], Path], tmp_path: Path) -> str:
    """Return the identity of the test artifact, from a folder store without faults."""
    return Store(tmp_path / "reference").publish(DRAFT, output()).sha256


# -- publishing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        slow_down(times=2),
        reset(times=2),
        failing(500, "InternalError", times=2),
        hang(times=1, operations=WRITES),
        lose_answer(times=1, operations=WRITES),
        cut_body(times=2),
    ],
    ids=["SlowDown", "reset", "500", "hang", "lost answer", "cut body"],
)
def test_what_passes_is_repeated_and_nobody_notices(
    fault: S3Fault, s3: S3Server, opened: Callable[[], Store], output: Callable[[], Path], digest: str
) -> None:
    s3.inject(fault)
    made = opened().publish(DRAFT, output())
    assert made.sha256 == digest
    opened().verify(made)
    folder = opened().folder(made)
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert s3.count() == fault.times


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (slow_down, r"The server was too busy after several attempts: wait some minutes"),
        (reset, r"The connection failed after several attempts: check the endpoint"),
        (hang, r"The server gave no answer in time: .*HOMEROOM_S3_READ_S and HOMEROOM_S3_TOTAL_S"),
        (
            lambda **o: failing(403, "AccessDenied", **o),
            r"the server said AccessDenied|It is not allowed: check .*credentials",  # HEAD answers have no code
        ),
    ],
    ids=["SlowDown", "reset", "hang", "403"],
)
def test_at_every_request_of_publishing_an_end_is_an_error_and_leaves_nothing_half(
    make: Callable[..., S3Fault],
    message: str,
    s3: S3Server,
    opened: Callable[[], Store],
    output: Callable[[], Path],
    digest: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder store's test goes through every step; here the steps are the kinds of requests that write."""
    monkeypatch.setenv("HOMEROOM_S3_ATTEMPTS", "1")
    monkeypatch.setenv("HOMEROOM_S3_READ_S", "0.3")
    points = [("PutObject", "*.part"), ("CopyObject", "*"), ("PutObject", "*manifest.json"), ("HeadObject", "*.part")]
    for operation, keys in points:
        s3.inject(make(times=ALWAYS, operations=(operation,), keys=keys))
        with pytest.raises(StoreError, match=message) as caught:
            opened().publish(DRAFT, output())
        assert "artifacts/" in str(caught.value)  # the object
        assert s3.count(operation) > 0
        s3.clear()
        reader = opened()
        with pytest.raises(ArtifactMissingError):
            reader.find(digest)
        assert reader.list_records("") == []
        s3.injected.clear()
    made = opened().publish(DRAFT, output())
    assert made.sha256 == digest
    opened().verify(made)
    assert opened().place.list("tmp") == []


def test_an_answer_that_was_lost_is_no_conflict_with_oneself(s3: S3Server, opened: Callable[[], Store]) -> None:
    s3.inject(lose_answer(operations=("PutObject",)))
    opened().write_record("lease.json", {"owner": 1}, create=True)
    assert s3.count("PutObject") == 1
    with pytest.raises(StoreConflictError):
        opened().write_record("lease.json", {"owner": 1}, create=True)  # the same bytes, and somebody else


# -- large files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Return a function that writes a file of three parts; S3 takes none below 5 MiB but the last."""
    monkeypatch.setattr(components.places.remote, "PART_BYTES", 5 << 20)
    body = random.Random(0).randbytes(11 << 20)

    def make() -> Path:
        (tmp_path / "large").write_bytes(body)
        return tmp_path / "large"

    return make


def test_parts_of_an_upload_are_repeated_alone(
    s3: S3Server, opened: Callable[[], Store], large: Callable[[], Path]
) -> None:
    s3.inject(reset(operations=("UploadPart",)), lose_answer(operations=("CompleteMultipartUpload",)))
    opened().place.put_file(large(), "artifacts/x/large")
    assert s3.count("UploadPart") == s3.count("CompleteMultipartUpload") == 1
    assert sum(operation == "UploadPart" for operation, _ in s3.requests) == 4
    assert sum(operation == "CreateMultipartUpload" for operation, _ in s3.requests) == 1
    assert opened().place.list("") == ["artifacts/x/large"]


def test_a_failed_upload_is_aborted(s3: S3Server, opened: Callable[[], Store], large: Callable[[], Path]) -> None:
    s3.inject(failing(403, "AccessDenied", operations=("UploadPart",), times=ALWAYS))
    with pytest.raises(StoreError, match="artifacts/x/large"):
        opened().place.put_file(large(), "artifacts/x/large")
    assert opened().place.uploads() == []
    assert opened().place.list("") == []


def test_an_abandoned_upload_is_invisible_and_found(
    s3: S3Server, opened: Callable[[], Store], large: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEROOM_S3_ATTEMPTS", "1")
    s3.inject(*abandon_upload())
    with pytest.raises(StoreError, match="artifacts/x/large"):
        opened().place.put_file(large(), "artifacts/x/large")
    s3.clear()
    place = opened().place
    assert place.list("") == []
    (upload,) = place.uploads()
    assert upload.path.startswith("tmp/")
    place.put_file(large(), "artifacts/x/large")  # a second try is not in its way
    place.abort_upload(upload)
    place.abort_upload(upload)  # gone already
    assert place.uploads() == []


def test_a_download_cut_short_is_repeated_and_at_last_noticed(
    s3: S3Server, opened: Callable[[], Store], large: Callable[[], Path], tmp_path: Path
) -> None:
    expected = large().read_bytes()
    place = opened().place
    place.put_file(large(), "artifacts/x/large")
    s3.inject(cut_body(1000, times=2))
    place.get_file("artifacts/x/large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == expected
    s3.clear()
    s3.inject(cut_body(1000, times=2))
    assert place.get_bytes("artifacts/x/large") == expected
    s3.inject(cut_body(1000, times=ALWAYS))
    for read in (place.get_bytes, place.digest, lambda path: place.get_file(path, tmp_path / "copy")):
        with pytest.raises(StoreError, match=r"artifacts/x/large in .*The connection failed after several attempts"):
            read("artifacts/x/large")


def test_a_proxy_that_shortens_objects_is_noticed_by_their_size(
    s3: S3Server, opened: Callable[[], Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = opened().place
    assert isinstance(place, RemotePlace)
    place.put_bytes("a", b"0123456789")
    monkeypatch.setattr(place._fs, "cat_file", lambda path, start, end, **_: b"0123"[start:end])
    with pytest.raises(StoreError, match="4 of 10 bytes came"):
        place.get_bytes("a")
    monkeypatch.setattr(place._fs, "get_file", lambda key, target, **_: Path(target).write_bytes(b"0123"))
    with pytest.raises(StoreError, match="4 of 10 bytes came"):
        place.get_file("a", tmp_path / "copy")


def test_a_copy_that_broke_off_is_no_copy(
    s3: S3Server, opened: Callable[[], Store], output: Callable[[], Path], tmp_path: Path
) -> None:
    made: FairnessReport = opened().publish(DRAFT, output())
    s3.inject(cut_body(10, times=ALWAYS, keys="*table.parquet"))
    with pytest.raises(StoreError, match=r"table\.parquet in"):
        opened().folder(made)
    assert [p for p in (tmp_path / "cache" / "artifacts").rglob("*") if p.is_file()] == []
    s3.clear()
    assert (opened().folder(made) / "deep/er/table.parquet").read_bytes() == FILES["deep/er/table.parquet"]


# -- limits ----------------------------------------------------------------------------------------------------------


def test_one_operation_ends_when_its_time_is_up_however_often_it_could_be_repeated(
    s3: S3Server, opened: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEROOM_S3_ATTEMPTS", "1000")
    monkeypatch.setenv("HOMEROOM_S3_TOTAL_S", "1.5")
    monkeypatch.setenv("HOMEROOM_S3_READ_S", "0.5")
    s3.inject(hang(times=ALWAYS))
    with pytest.raises(StoreError, match="gave no answer in time"):
        opened().read_record("a.json")
    assert 1 <= s3.count() <= 5  # 0.5 s each


def test_a_server_that_takes_connections_and_never_reads_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload has no silence to measure while its body is not taken: only the time for all of it ends this."""
    monkeypatch.setenv("HOMEROOM_S3_TOTAL_S", "1.5")
    monkeypatch.setenv("HOMEROOM_S3_READ_S", "60")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        options = {
            "key": "test",
            "secret": "test",
            "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{listening.getsockname()[1]}"},
        }
        store = Store(f"s3://{BUCKET}/x", cache=tmp_path, storage_options=options)
        with pytest.raises(StoreError, match=r"records/a\.json in .*gave no answer in time"):
            store.write_record("a.json", {})


def test_a_request_is_sent_as_often_as_said_also_after_a_long_bad_time(
    s3: S3Server, opened: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.0001)  # what botocore multiplies its pauses by
    monkeypatch.setenv("HOMEROOM_S3_ATTEMPTS", "9")
    s3.inject(slow_down(times=ALWAYS))
    store = opened()
    for _ in range(15):  # a hundred repeats are what botocore's newer mode allows in all
        s3.injected.clear()
        with pytest.raises(StoreError):
            store.write_record("a.json", {})
        assert s3.count() == 9


def test_limits_come_from_the_environment_and_wrong_ones_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert S3Limits() == S3Limits.from_environment()
    monkeypatch.setenv("HOMEROOM_S3_READ_S", "2.5")
    monkeypatch.setenv("HOMEROOM_S3_ATTEMPTS", "7")
    assert S3Limits.from_environment() == S3Limits(read_s=2.5, attempts=7)
    monkeypatch.setenv("HOMEROOM_S3_CONNECT_S", "soon")
    monkeypatch.setenv("HOMEROOM_S3_ATTEMPTS", "2.5")
    with pytest.raises(ConfigError, match=r"CONNECT_S='soon' is no number; HOMEROOM_S3_ATTEMPTS='2.5' is no whole"):
        S3Limits.from_environment()
    with pytest.raises(ConfigError, match=r"HOMEROOM_S3_TOTAL_S=-1 is not above 0"):
        S3Limits(total_s=-1)


def test_what_broke_is_repeated_so_often_and_no_more() -> None:
    calls = []

    def broken(left_s: float) -> None:
        calls.append(left_s)
        raise CutShortError("1 of 2 bytes came")

    with pytest.raises(CutShortError):
        S3Limits(attempts=2).repeated(broken)
    assert len(calls) == 2
    assert all(0 < left_s <= 120 for left_s in calls)


# -- listings --------------------------------------------------------------------------------------------------------


def test_an_old_listing_hides_new_records_and_shows_deleted_ones(s3: S3Server, opened: Callable[[], Store]) -> None:
    store = opened()
    store.write_record("runs/a.json", {})
    store.write_record("runs/b.json", {"b": 1})
    s3.inject(stale_listing())
    store.write_record("runs/c.json", {})
    store.write_record("runs/b.json", {"b": 2})
    store.delete_record("runs/a.json")
    assert store.list_records("runs") == ["runs/a.json", "runs/b.json"]
    assert store.read_record("runs/a.json") is None
    assert store.read_record("runs/b.json") == {"b": 2}
    s3.clear()
    assert store.list_records("runs") == ["runs/b.json", "runs/c.json"]


# -- logs ------------------------------------------------------------------------------------------------------------

LOGS = b"student,item,correct\n" + b"".join(b"s%d,i%d,1\n" % (n, n) for n in range(1000))


@pytest.fixture
def logs(s3: S3Server, opened: Callable[[], Store], monkeypatch: pytest.MonkeyPatch) -> str:
    import s3fs

    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # cached by arguments, not by the endpoint in the environment
    opened().place.put_bytes("answers.csv", LOGS)
    return f"{opened().url}/answers.csv"


def test_logs_are_read_whole_or_not_at_all(s3: S3Server, logs: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    whole = collect(store, [logs])
    s3.inject(cut_body(100, times=2), slow_down(operations=("HeadObject",)))
    again = collect(store, [logs])
    assert replace(again, lineage=whole.lineage) == whole
    assert s3.count() == 3
    s3.clear()
    with raw_file(whole, 0, tmp_path) as file:
        assert file.path.read_bytes() == LOGS
    s3.inject(cut_body(100, times=ALWAYS))
    with pytest.raises(StoreError, match=r"answers\.csv: .*The connection failed after several attempts"):
        collect(store, [logs])
    with (
        pytest.raises(StoreError, match=r"answers\.csv could not be read: .*connection failed"),
        raw_file(whole, 0, tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (slow_down(times=ALWAYS), "too busy after several attempts: wait"),
        (hang(times=ALWAYS), "gave no answer in time: check the endpoint"),
        (reset(times=ALWAYS), "connection failed after several attempts"),
        (failing(403, "AccessDenied", times=ALWAYS), "the credentials are known but may not do this"),
    ],
    ids=["SlowDown", "hang", "reset", "403"],
)
def test_logs_that_cannot_be_reached_are_named_with_the_remedy(
    fault: S3Fault, message: str, s3: S3Server, logs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEROOM_S3_ATTEMPTS", "1")
    monkeypatch.setenv("HOMEROOM_S3_READ_S", "0.5")
    s3.inject(fault)
    with pytest.raises(StoreError, match=rf"1 of the named sources cannot be used:\n  - s3://{BUCKET}/.*{message}"):
        collect(Store(tmp_path / "store"), [logs])


# -- the injector itself ---------------------------------------------------------------------------------------------


def test_without_moto_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "moto.server", None)
    with pytest.raises(DependencyMissingError, match=r"pip install 'homeroom\[testing\]'"):
        S3Server()


def test_a_fault_meets_what_it_is_meant_for_and_lets_the_first_pass(s3: S3Server, opened: Callable[[], Store]) -> None:
    s3.inject(failing(403, "AccessDenied", operations=("PutObject",), keys="*/records/b.json", after=1))
    store = opened()
    store.write_record("a.json", {})
    store.write_record("b.json", {"n": 1})
    with pytest.raises(StoreError):
        store.write_record("b.json", {"n": 2})
    store.write_record("b.json", {"n": 3})
    assert [one.operation for one in s3.injected] == ["PutObject"]
    assert s3.injected[0].key.endswith("/records/b.json")
