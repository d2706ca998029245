"""Secret keys: who may read the file, two makers at once, and that nothing shows the bytes."""

import hashlib
import hmac
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.errors import StoreError
from components.secrets import SecretKey, read_or_make_key, write_key

KEY = SecretKey(bytes(range(32)))


def test_a_made_key_is_random_kept_and_for_the_owner_alone(tmp_path: Path) -> None:
    made = read_or_make_key(tmp_path / "keys" / "pseudonyms.key")
    assert read_or_make_key(tmp_path / "keys" / "pseudonyms.key") == made
    assert len(made.value) == 32
    assert read_or_make_key(tmp_path / "keys" / "other.key") != made
    assert stat.S_IMODE((tmp_path / "keys" / "pseudonyms.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert sorted(p.name for p in (tmp_path / "keys").iterdir()) == ["other.key", "pseudonyms.key"]


def test_makers_at_the_same_time_all_get_the_same_key(tmp_path: Path) -> None:
    for attempt in range(5):
        with ThreadPoolExecutor(8) as pool:
            keys = list(pool.map(_make_together(tmp_path / f"{attempt}.key", threading.Barrier(8)), range(8)))
        assert len(set(keys)) == 1


def _make_together(path: Path, start: threading.Barrier) -> Callable[[int], SecretKey]:
    def make(_: int) -> SecretKey:
        start.wait()
        return read_or_make_key(path)

    return make


def test_writing_never_replaces_a_key_that_is_there(tmp_path: Path) -> None:
    write_key(tmp_path / "a.key", KEY)
    write_key(tmp_path / "a.key", SecretKey(b"x" * 32))
    assert read_or_make_key(tmp_path / "a.key") == KEY
    assert [p.name for p in tmp_path.iterdir()] == ["a.key"]


def test_the_id_names_the_key_and_reveals_nothing_usable() -> None:
    assert len(KEY.id) == 16
    assert KEY.id == SecretKey(bytes(range(32))).id
    assert KEY.id != SecretKey(bytes(range(1, 33))).id
    # neither the key, nor its plain digest, nor a pseudonym of anything short
    assert KEY.id not in KEY.value.hex()
    assert KEY.id not in hashlib.sha256(KEY.value).hexdigest()
    assert all(KEY.id not in KEY.mac(m).hex() for m in (b"", b"homeroom key id\x00", b"homeroom key id"))


def test_the_mac_is_hmac_sha_256() -> None:
    # RFC 4231, test case 1
    key = SecretKey(b"\x0b" * 20)
    assert key.mac(b"Hi There").hex() == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    assert KEY.mac(b"student") == hmac.new(KEY.value, b"student", hashlib.sha256).digest()


def test_repr_and_text_hide_the_bytes() -> None:
    for shown in (repr(KEY), str(KEY), f"{KEY}"):
        assert KEY.value.hex() not in shown
        assert repr(KEY.value) not in shown
        assert "value" not in shown


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has 15 bytes; at least 16"):
        SecretKey(b"x" * 15)


@pytest.mark.parametrize("text", ["", "zz" * 32, "00" * 8, "00" * 32 + "é"])
def test_a_file_that_holds_no_key_is_not_replaced_and_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.key"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(
        StoreError, match=r"a.key could not be used: .*restore the file; a new key gives every"
    ) as caught:
        read_or_make_key(path)
    assert path.read_text(encoding="utf-8") == text
    assert not text or text not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Make its folder writable"):
        read_or_make_key(tmp_path / "file" / "a.key")
