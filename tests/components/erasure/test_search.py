"""The search of bytes: what is planted in each format is found, and what is not there is not."""

import base64
import bz2
import gzip
import html
import io
import json
import lzma
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.erasure.search import Wanted, search_bytes, search_file
from components.writing.codec.packing import pack

PSEUDONYM = "5f9c1e07ab34d2608e71c3fa0b952d46"
OTHER = "5f9c1e07ab34d2608e71d3fa0b952d46"
TEXT = 'She said: "Rivers are long",\nand that they end in a sea; <ever> & ever. Größer als Bäche!'


def parquet(frame: pl.DataFrame, **how: str) -> bytes:
    sink = io.BytesIO()
    frame.write_parquet(sink, **how)  # type: ignore[arg-type]  # polars types its codecs by name
    return sink.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.savez_compressed(sink, **arrays)  # type: ignore[arg-type]  # numpy's own stubs
    return sink.getvalue()


def npy(array: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


def zipped(name: str, body: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, body)
    return sink.getvalue()


def planted(name: str) -> dict[str, bytes]:
    """Return files of every format that homeroom or a library of its writes, each with the pseudonym in it."""
    raw, among = bytes.fromhex(name), [f"{n:032x}" for n in range(500)]
    strings = [*among, name]
    return {
        "json": json.dumps({"student": name}).encode(),
        "capitals": name.upper().encode(),
        "lines": b'{"a": 1}\n' + json.dumps({"student": name, "data": 1}).encode() + b"\n",
        "raw bytes": b"\x00\x01" + raw + b"\x02",
        "utf-16": name.encode("utf-16-le"),
        "numpy text": npy(np.array(strings)),
        "numpy bytes": npy(np.frombuffer(raw, np.uint8)),
        "npz": npz(a=np.array(strings), b=np.arange(3)),
        **{f"base64 at {n}": base64.b64encode(b"x" * n + raw + b"yyyy") for n in range(3)},
        **{f"url base64 of hex at {n}": base64.urlsafe_b64encode(b"x" * n + name.encode() + b"y") for n in range(3)},
        "gzip": gzip.compress(name.encode()),
        "gzip in gzip": gzip.compress(gzip.compress(name.encode())),
        "bzip2": bz2.compress(name.encode()),
        "xz": lzma.compress(name.encode()),
        "zip": zipped("students.txt", name.encode()),
        "name in a zip": zipped(name, b""),
        "gzipped Parquet": gzip.compress(parquet(pl.DataFrame({"s": strings}))),
        **{
            f"Parquet, {codec}": parquet(pl.DataFrame({"a": [1] * 501, "s": strings}), compression=codec)
            for codec in ("zstd", "snappy", "lz4", "gzip", "uncompressed")
        },
        "Parquet, dictionary": parquet(pl.DataFrame({"s": pl.Series(strings * 40, dtype=pl.Categorical)})),
        "Parquet, list": parquet(pl.DataFrame({"s": [[], strings]})),
        "Parquet, struct": parquet(pl.DataFrame({"s": [{"of": one, "n": 1} for one in strings]})),
        "Parquet, bytes": parquet(pl.DataFrame({"s": [bytes.fromhex(one) for one in strings]})),
        "Parquet, list of structs": parquet(pl.DataFrame({"s": [[{"of": one}] for one in strings]})),
        "packed in JSON": json.dumps({"codec": [{"a": pack(np.frombuffer(raw, np.uint8))}]}).encode(),
    }


@pytest.mark.parametrize("form", planted(PSEUDONYM))
def test_a_pseudonym_is_found_in(form: str, tmp_path: Path) -> None:
    wanted = Wanted.of([PSEUDONYM])
    assert search_bytes(planted(PSEUDONYM)[form], wanted).found == {"pseudonym"}
    assert search_bytes(planted(OTHER)[form], wanted).found == frozenset(), "another student's, one digit off"
    (tmp_path / "file").write_bytes(planted(PSEUDONYM)[form])
    seen = search_file(tmp_path / "file", wanted)
    assert (set(seen.found), seen.unreadable) == ({"pseudonym"}, "")


@pytest.mark.parametrize(
    "body",
    [
        TEXT.encode(),
        json.dumps([TEXT]).encode(),
        json.dumps([TEXT], ensure_ascii=False).encode(),
        f"<p>{html.escape(TEXT)}</p>".encode(),
        f'1,"{TEXT.replace(chr(34), chr(34) * 2)}"\n'.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.encode("utf-16"),
        parquet(pl.DataFrame({"text": ["a", TEXT + " And more."]})),
    ],
    ids=["plain", "json", "json in utf-8", "html", "csv", "windows", "utf-16", "parquet"],
)
def test_a_text_is_found_however_it_is_escaped(body: bytes) -> None:
    assert search_bytes(body, Wanted.of(texts=[TEXT])).found == {"text"}
    assert search_bytes(body, Wanted.of(texts=[TEXT.replace("sea", "see")])).found == frozenset()


def test_what_cannot_be_opened_is_said_and_not_taken_for_empty(tmp_path: Path) -> None:
    wanted = Wanted.of([PSEUDONYM])
    whole = parquet(pl.DataFrame({"s": [f"{n:032x}" for n in range(1000)]}))
    assert "parquet" in search_bytes(whole[:-20], wanted).unreadable
    damaged = whole[:100] + bytes(400) + whole[500:]
    assert "parquet" in search_bytes(damaged, wanted).unreadable
    assert "zstd" in search_bytes(b"\x28\xb5\x2f\xfd rest", wanted).unreadable
    body = PSEUDONYM.encode()
    for _ in range(6):
        body = gzip.compress(body)
    assert "more than" in search_bytes(body, wanted).unreadable
    assert search_bytes(b"{ no JSON", wanted).unreadable == ""
    (tmp_path / "empty").touch()
    assert search_file(tmp_path / "empty", wanted).found == frozenset()


def test_a_row_of_numbers_is_found_amid_an_array() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 20))
    wanted = Wanted.of(rows=[rows[17].tobytes()])
    assert search_bytes(npy(rows), wanted).found == {"features"}
    assert search_bytes(npz(a=rows), wanted).found == {"features"}
    assert search_bytes(npy(np.delete(rows, 17, axis=0)), wanted).found == frozenset()
