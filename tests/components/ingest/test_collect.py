"""Collecting raw files: what is found, what identity depends on, and what is refused."""

import hashlib
import io
import json
import traceback
from pathlib import Path

import boto3
import polars as pl
import pytest

from components.artifacts import artifact_from_json
from components.errors import StoreError
from components.ingest.addresses import secret_in
from components.ingest.collect import collect
from components.store import Store, raw_identity
from components.testing import S3Server
from tests.components.ingest.running import ingest_files, ingest_uris

ROWS = b"student,item,correct\na,1,1\n"
OTHER = b"student,item,correct\nb,1,0\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.csv").write_bytes(ROWS)
    (folder / "deep" / "a.tsv.gz").write_bytes(OTHER)
    (folder / "README.txt").write_bytes(b"about")
    (folder / ".hidden.csv").write_bytes(b"x")
    (folder / "notes.md").write_bytes(b"y")
    return folder


def test_a_folder_gives_its_data_files_with_their_digests(store: Store, logs: Path) -> None:
    raw = collect(store, [str(logs)])
    expected = {
        hashlib.sha256(ROWS).hexdigest(): str(logs / "b.csv"),
        hashlib.sha256(OTHER).hexdigest(): str(logs / "deep" / "a.tsv.gz"),
    }
    assert dict(zip(raw.digests, raw.uris, strict=True)) == expected
    assert raw.roles == ("any", "any")
    assert raw.ref.bytes == len(ROWS) + len(OTHER)
    assert raw.sha256 == raw_identity(raw.digests, raw.roles)


def test_moving_and_renaming_changes_places_but_not_identity(store: Store, logs: Path, tmp_path: Path) -> None:
    before = collect(store, [str(logs)])
    moved = logs.rename(tmp_path / "elsewhere")
    (moved / "b.csv").rename(moved / "zzz.csv")
    after = collect(store, [str(moved)])
    assert after.sha256 == before.sha256
    assert after.digests == before.digests
    assert str(moved / "zzz.csv") in after.uris


def test_contents_and_roles_are_the_identity(store: Store, logs: Path) -> None:
    first, second = str(logs / "b.csv"), str(logs / "deep" / "a.tsv.gz")
    both = collect(store, [first, second]).sha256
    assert collect(store, [second, first]).sha256 == both
    assert collect(store, [first], [second]).sha256 != both
    (logs / "b.csv").write_bytes(ROWS + b"a,2,1\n")
    assert collect(store, [first, second]).sha256 != both


def test_the_handle_is_registered_with_its_lineage(store: Store, logs: Path) -> None:
    raw = collect(store, [str(logs)])
    assert raw.lineage.stage == "collect"
    manifest = Path(raw.ref.uri) / "manifest.json"
    assert artifact_from_json(json.loads(manifest.read_text())) == raw
    assert store.find(raw.sha256) == raw


def test_patterns_and_names_that_overlap_count_once(store: Store, logs: Path) -> None:
    raw = collect(store, [str(logs / "*.csv"), str(logs / "b.csv"), f"file://{logs}/b.csv"])
    assert raw.uris == (str(logs / "b.csv"),)


def test_all_problems_are_listed_at_once(store: Store, logs: Path) -> None:
    (logs / "empty.csv").write_bytes(b"")
    (logs / "copy.csv").write_bytes(ROWS)
    bare = logs / "bare"
    bare.mkdir()
    names = [str(logs / "absent.csv"), str(logs / "no*match"), str(bare), str(logs)]
    with pytest.raises(StoreError) as caught:
        collect(store, names, [str(logs / "b.csv")])
    text = str(caught.value)
    assert text.startswith("6 of the named sources cannot be used:")
    assert f"{logs / 'absent.csv'}: no such file" in text
    assert f"{logs / 'no*match'}: no such file" in text
    assert f"{bare}: no such file, or a folder without data files" in text
    assert f"{logs / 'empty.csv'}: the file is empty" in text
    assert "copy.csv: has the same bytes as" in text or "b.csv: has the same bytes as" in text
    assert f"{logs / 'b.csv'}: given for training and for testing" in text


def test_nothing_named_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="No files were named"):
        collect(store, [])


@pytest.fixture
def bucket(s3_environment: S3Server) -> str:
    s3_environment.make_bucket("collected")
    return "collected"


def test_files_in_a_bucket_are_collected_and_ingested_like_local_ones(
    bucket: str, tmp_path: Path, store: Store, logs: Path
) -> None:
    client = boto3.client("s3")
    client.put_object(Bucket=bucket, Key="2025/b.csv", Body=ROWS)
    client.put_object(Bucket=bucket, Key="2025/deep/c.csv", Body=OTHER)
    client.put_object(Bucket=bucket, Key="2025/README.txt", Body=b"about")
    remote = ingest_uris(tmp_path / "remote", [f"s3://{bucket}/2025/"])
    assert sorted(remote.raw.uris) == [f"s3://{bucket}/2025/b.csv", f"s3://{bucket}/2025/deep/c.csv"]
    (logs / "deep" / "a.tsv.gz").rename(logs / "deep" / "c.csv")
    local = ingest_uris(tmp_path / "local", [str(logs)])
    assert remote.raw.sha256 == local.raw.sha256
    assert remote.logs.sha256 == local.logs.sha256
    with pytest.raises(StoreError, match="s3://collected/absent/: no such file"):
        collect(store, [f"s3://{bucket}/absent/"])


SECRETS = ("wJalrXUtnFEMI", "hunter2")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("s3://AKIAEXAMPLE:wJalrXUtnFEMI@district/logs.csv", "s3://district/..."),
        ("s3://AKIAEXAMPLE:wJalrXUtnFEMI/hunter2@district/logs/", "s3://..."),
        ("s3://AKIAEXAMPLE:12345/hunter2@district/logs/", "s3://..."),
        ("s3://AKIAEXAMPLE:wJalr?hunter2@district/logs/", "s3://..."),
        ("s3://AKIAEXAMPLE:hunter2@wJalrXUtnFEMI@district/logs/", "s3://..."),
        ("https://teacher:hunter2@files.example.org:8443/logs.csv", "https://files.example.org/..."),
        ("HTTPS://hunter2@files.example.org/logs.csv", "HTTPS://files.example.org/..."),
        ("sftp://teacher:hunter2@files.example.org/logs.csv", "sftp://files.example.org/..."),
        ("https://b.example.org/logs.csv?X-Amz-Signature=hunter2&X-Amz-Expires=60", "https://b.example.org/..."),
        ("https://b.example.org/logs.csv?sv=2024&sig=hunter2", "https://b.example.org/..."),
        ("https://b.example.org/logs.csv?id=wJalrXUtnFEMI", "https://b.example.org/..."),
        ("https://b.example.org/logs.csv?mail=a@hunter2", "https://..."),
        ("http://b.example.org/logs.csv#access_token=hunter2", "http://b.example.org/..."),
        ("abfs://logs@account.dfs.core.windows.net/a.csv?sig=hunter2", "abfs://account.dfs.core.windows.net/..."),
        ("zip://*.csv::https://b.example.org/logs.zip?token=hunter2", "https://b.example.org/..."),
        ("simplecache::s3://AKIAEXAMPLE:hunter2@district/logs.csv", "s3://district/..."),
    ],
)
@pytest.mark.parametrize("role", ["any", "test"])
def test_an_address_with_a_secret_is_refused_and_nowhere_repeated(
    address: str, shown: str, role: str, store: Store, logs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    collect(store, [str(logs / "b.csv")])  # so that the store has files to look through
    others = [str(logs), str(tmp_path / "absent.csv")]
    with pytest.raises(StoreError) as caught:
        collect(store, [*others, address] if role == "any" else others, [address] if role == "test" else [])
    text = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert f"  - {shown}: the address carries" in str(caught.value)
    assert "expected one without secrets" in text
    assert "AWS_ACCESS_KEY_ID" in text
    assert "download the file first" in text
    assert "absent.csv: no such file" in text, "the other problems are still told"
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert any(p.name == "manifest.json" for p in files)
    for secret in (*SECRETS, "wJalr"):
        if secret in address:
            assert secret not in text
            assert not [p for p in files if secret.encode() in p.read_bytes()]
            assert not [p for p in tmp_path.rglob("*") if secret in p.name]


@pytest.mark.parametrize(
    "address",
    [
        "/data/a:b@c.csv",
        "logs/*.csv?",
        "file:///data/a:b@c.csv",
        "s3://district/logs/2025-*/part?.csv",
        "s3://district/day=1/a@b:c.csv",
        "https://files.example.org:8443/a@b.csv",
        "http://localhost:9000/logs.csv",
        "abfs://container@account.dfs.core.windows.net/logs.csv",
        "sftp://teacher@files.example.org/logs.csv",
        "zip://*.csv::s3://district/logs.zip",
    ],
)
def test_an_address_without_a_secret_is_none_of_these(address: str) -> None:
    assert secret_in(address) is None


@pytest.mark.parametrize("name", ["d[1].csv", "d[1].parquet", "d[1].jsonl", "d*.csv"])
def test_a_file_whose_name_looks_like_a_pattern_is_read_as_itself(tmp_path: Path, name: str) -> None:
    table = pl.DataFrame({"student": ["a", "b"], "item": ["i", "i"], "skills": ["s", "s"], "correct": [1, 0]})
    buffer = io.BytesIO()
    if name.endswith(".csv"):
        table.write_csv(buffer)
    elif name.endswith(".parquet"):
        table.write_parquet(buffer)
    else:
        table.write_ndjson(buffer)
    outcome = ingest_files(tmp_path, {name: buffer.getvalue()})
    assert outcome.raw.uris == (str(tmp_path / name),)
    assert outcome.logs.rows == 2
    (tmp_path / "dx.csv").write_bytes(table.head(1).write_csv().encode())
    (tmp_path / "d1.csv").write_bytes(table.tail(1).write_csv().encode())
    assert ingest_uris(tmp_path, [str(tmp_path / name)]).logs.rows == 2
