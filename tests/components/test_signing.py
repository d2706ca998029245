"""Ed25519 keys: known answers of RFC 8032, files told apart by what is in them, and what is no key."""

import stat
from pathlib import Path

import pytest

from components.errors import StoreError
from components.secrets import SecretKey, write_key
from components.signing import (
    PublicKey,
    SigningKey,
    TrustedKeys,
    key_lines,
    read_or_make_signing_key,
    read_signing_key,
    read_trusted_keys,
    trusted,
    write_line,
)

# RFC 8032, section 7.1, tests 1 to 3: secret key, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe246551"
        "41438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d"
        "291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027"
        "beceea1ec40a",
    ),
]
KEY = SigningKey(bytes(range(32)))


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_signatures_are_those_of_the_standard(secret: str, public: str, message: str, signature: str) -> None:
    key = SigningKey(bytes.fromhex(secret))
    assert key.public.value.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    assert PublicKey(bytes.fromhex(public)).verifies(bytes.fromhex(message), bytes.fromhex(signature))
    assert not PublicKey(bytes.fromhex(public)).verifies(bytes.fromhex(message) + b"x", bytes.fromhex(signature))


def test_a_signature_with_any_bit_changed_is_refused() -> None:
    signature = KEY.sign(b"a decision")
    for at in range(len(signature) * 8):
        changed = bytearray(signature)
        changed[at // 8] ^= 1 << at % 8
        assert not KEY.public.verifies(b"a decision", bytes(changed))
    for wrong in (b"", signature[:-1], signature + b"x"):
        assert not KEY.public.verifies(b"a decision", wrong)


def test_a_key_is_made_once_with_its_public_part_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signing.ed25519"
    made = read_or_make_signing_key(path)
    assert read_or_make_signing_key(path) == read_signing_key(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(p.name for p in path.parent.iterdir()) == ["signing.ed25519", "signing.pub"]
    public = path.with_suffix(".pub").read_text()
    assert public == f"ed25519-public {made.public.value.hex()}\n"
    assert made.value.hex() not in public
    assert made.value.hex() not in repr(made)
    path.with_suffix(".pub").unlink()
    read_or_make_signing_key(path)
    assert path.with_suffix(".pub").read_text() == public


def test_files_are_told_apart_by_what_is_in_them(tmp_path: Path) -> None:
    secret = SecretKey(b"k" * 32)
    write_key(tmp_path / "a", secret)
    write_line(tmp_path / "b", KEY.public.line(), mode=0o644)
    write_line(tmp_path / "c", KEY.line(), mode=0o600)
    both = TrustedKeys((KEY.public,), (secret,))
    write_line(tmp_path / "d", *key_lines(both), mode=0o600)
    assert read_trusted_keys(tmp_path / "a") == trusted(secret)
    assert read_trusted_keys(tmp_path / "b") == read_trusted_keys(tmp_path / "c") == trusted(KEY)
    assert read_trusted_keys(tmp_path / "d") == both
    with pytest.raises(StoreError, match="holds no private key"):
        read_signing_key(tmp_path / "b")


@pytest.mark.parametrize(
    "text", ["", "ed25519-public 00", "ed25519 " + "0" * 64, "no key", "\u00e9", "0" * 8, "ed25519-public " + "0" * 63]
)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "k").write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=r"[Kk]ey file .*/k ") as error:
        read_trusted_keys(tmp_path / "k")
    assert "0" * 8 not in str(error.value)
    with pytest.raises(StoreError):
        read_trusted_keys(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_key_that_follows_from_a_secret_is_always_the_same_and_gives_it_not_away() -> None:
    secret = SecretKey(bytes(range(32)))
    assert SigningKey.from_secret(secret) == SigningKey.from_secret(secret)
    assert SigningKey.from_secret(secret).value != secret.value
