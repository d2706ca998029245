"""The store on S3 over real HTTP (moto's server on the loopback), and what only a remote store has: its cache."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import FairnessReport
from components.errors import DigestMismatchError, StoreError
from components.places.remote import RemotePlace
from components.store import Store
from tests.components.store_cases import FILES, StoreCases

BUCKET = "homeroom-test"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def options_for(endpoint: str) -> dict[str, Any]:
    return {
        "key": "fake",
        "secret": "fake",
        "client_kwargs": {"endpoint_url": endpoint, "region_name": "us-east-1"},
    }


class TestStoreOnS3(StoreCases):
    @pytest.fixture(autouse=True)
    def _bucket(self, endpoint: str, tmp_path: Path) -> Iterator[None]:
        import boto3

        self.options = options_for(endpoint)
        self.cache = tmp_path / "cache"
        self.s3 = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id="fake",
            aws_secret_access_key="fake",
            region_name="us-east-1",
        )
        self.s3.create_bucket(Bucket=BUCKET)
        yield
        for path in self.raw_list():
            self.raw_delete(path)
        self.s3.delete_bucket(Bucket=BUCKET)
        self.s3.close()

    def open(self) -> Store:
        return Store(f"s3://{BUCKET}/team/store", cache=self.cache, storage_options=self.options)

    def raw_write(self, path: str, body: bytes) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=f"team/store/{path}", Body=body)

    def raw_read(self, path: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=BUCKET, Key=f"team/store/{path}")["Body"].read()
        return body

    def raw_delete(self, path: str) -> None:
        self.s3.delete_object(Bucket=BUCKET, Key=f"team/store/{path}")

    def raw_list(self) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return sorted(o["Key"].removeprefix("team/store/") for o in found)

    # -- the cache of remote artifacts -------------------------------------------------------------------------------

    def test_a_copy_is_fetched_once_and_served_from_the_cache_afterwards(
        self, published: FairnessReport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.open().folder(published)
        monkeypatch.setattr(RemotePlace, "get_file", lambda *_: pytest.fail("fetched again"))
        folder = self.open().folder(published)
        assert {name: (folder / name).read_bytes() for name in FILES} == FILES

    @pytest.mark.parametrize("damage", ["changed", "deleted"])
    def test_a_damaged_copy_is_fetched_again_even_after_the_remote_files_were_verified(
        self, published: FairnessReport, damage: str
    ) -> None:
        copy = self.open().folder(published) / "groups.json"
        if damage == "changed":
            copy.write_bytes(b"tampered")
        else:
            copy.unlink()
        store = self.open()
        store.verify(published)  # says nothing about the copy
        assert (store.folder(published) / "groups.json").read_bytes() == FILES["groups.json"]

    def test_a_failed_fetch_leaves_no_copy(self, published: FairnessReport) -> None:
        self.raw_write(f"{self.base(published)}/groups.json", b"other bytes")
        with pytest.raises(DigestMismatchError):
            self.open().folder(published)
        assert [p for p in self.cache.rglob("*") if p.is_file()] == []

    def test_scratch_and_jobs_are_on_the_local_disk(self) -> None:
        with self.open().scratch() as scratch:
            assert scratch.is_relative_to(self.cache)
        assert self.open().job_folder("k").is_relative_to(self.cache)
        assert self.open().local_root is None

    # -- faults ------------------------------------------------------------------------------------------------------

    def test_an_upload_cut_short_is_noticed_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = self.open()
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a.bin").write_bytes(b"a" * 1000)
        place = store._place
        assert isinstance(place, RemotePlace)
        original = place._fs.put_file

        def short(source: str, target: str, **options: float) -> None:
            Path(source).write_bytes(b"a" * 400)
            original(source, target, **options)
            Path(source).write_bytes(b"a" * 1000)

        monkeypatch.setattr(place._fs, "put_file", short)
        with pytest.raises(StoreError, match=r"with 400 bytes of 1000: the upload was cut short"):
            place.put_file(tmp_path / "out" / "a.bin", "artifacts/x/a.bin")
        assert self.raw_list() == []

    def test_a_missing_bucket_is_named_and_not_taken_for_a_missing_artifact(self) -> None:
        store = Store("s3://no-such-bucket/store", cache=self.cache, storage_options=self.options)
        with pytest.raises(StoreError, match=r"s3://no-such-bucket/store does not exist.*Make the bucket"):
            store.probe()

    def test_no_message_holds_the_credentials(self) -> None:
        options = {**self.options, "key": "AKIAVISIBLE", "secret": "verysecret"}
        store = Store("s3://no-such-bucket/store", cache=self.cache, storage_options=options)
        with pytest.raises(StoreError) as caught:
            store.write_record("a.json", {})
        assert "AKIAVISIBLE" not in str(caught.value)
        assert "verysecret" not in str(caught.value)


def test_a_dead_endpoint_fails_with_a_sentence(tmp_path: Path) -> None:
    options = options_for("http://127.0.0.1:9")
    options["config_kwargs"] = {"connect_timeout": 1, "retries": {"mode": "standard", "total_max_attempts": 1}}
    store = Store(f"s3://{BUCKET}/store", cache=tmp_path, storage_options=options)
    with pytest.raises(
        StoreError,
        match=r"could not be read or written: nothing answers at the server 127.0.0.1:9: .*correct AWS_ENDPOINT_URL",
    ):
        store.read_record("a.json")
