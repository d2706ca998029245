"""The bundle format: digests, signature, unlisted files, and where the version comes from."""

import hashlib
import hmac
import json
import os
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from components.bundle import read_bundle_manifest, write_bundle_manifest
from components.errors import ArtifactMissingError, DigestMismatchError, PipelineError, SchemaError
from components.secrets import SecretKey
from components.signing import TrustedKeys
from tests.serving.bundles import KEY, OTHER_KEY, write_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.txt").write_bytes(b"one")
    (tmp_path / "b" / "sub").mkdir()
    (tmp_path / "b" / "sub" / "c.txt").write_bytes(b"two")
    return tmp_path / "b"


def write(folder: Path, *, signed: bool = True) -> str:
    return write_bundle_manifest(folder, "app", ["probability"], 1e-5, KEY if signed else None)


def test_the_version_is_the_digest_of_the_canonical_contents(folder: Path) -> None:
    version = write(folder)
    one, two = hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest()
    text = (
        f'{{"application":"app","files":[["a.txt","{one}",3],["sub/c.txt","{two}",3]],'
        '"golden_tolerance":1e-05,"outputs":["probability"]}'
    )
    assert version == "app-" + hashlib.sha256(text.encode()).hexdigest()[:12]


def test_the_signature_is_ed25519_over_everything_else(folder: Path) -> None:
    write(folder)
    value = json.loads((folder / "bundle.json").read_text())
    signature = value.pop("signature")
    message = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    assert (value["format"], signature["algorithm"], signature["key"]) == (2, "ed25519", KEY.id)
    Ed25519PublicKey.from_public_bytes(KEY.public.value).verify(bytes.fromhex(signature["value"]), message)


def test_any_changed_byte_of_the_signed_manifest_is_refused(folder: Path) -> None:
    write(folder)
    body = (folder / "bundle.json").read_bytes()
    for at in range(len(body)):
        for other in {body[at] ^ 1, body[at] ^ 0x20, ord(" "), ord("0")} - {body[at]}:
            (folder / "bundle.json").write_bytes(body[:at] + bytes([other]) + body[at + 1 :])
            with pytest.raises(PipelineError):
                read_bundle_manifest(folder, KEY.public)
    for more in (body + b"\n", body[:-1], b" " + body, body.replace(b"1e-05", b"1E-05"), body + body):
        (folder / "bundle.json").write_bytes(more)
        with pytest.raises(PipelineError):
            read_bundle_manifest(folder, KEY.public)
    (folder / "bundle.json").write_bytes(body)
    assert read_bundle_manifest(folder, KEY.public).signature == "verified"


def sign_as_format_1(folder: Path, key: SecretKey) -> None:
    """Make the manifest what homeroom 0.1 would have written."""
    write(folder, signed=False)
    value = json.loads((folder / "bundle.json").read_text())
    del value["signature"]
    value.update(format=1, key_id=key.id)
    message = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    value["signature"] = hmac.new(key.value, message, "sha256").hexdigest()
    (folder / "bundle.json").write_text(json.dumps(value))


def test_format_1_is_read_with_its_hmac_key_and_with_no_other(folder: Path) -> None:
    old = SecretKey(b"an HMAC key of an older homeroom")
    sign_as_format_1(folder, old)
    assert read_bundle_manifest(folder, old).signature == "verified"
    assert read_bundle_manifest(folder, TrustedKeys((KEY.public,), (old,))).signature == "verified"
    for key in (KEY, KEY.public, SecretKey(b"another HMAC key, 32 bytes long.")):
        with pytest.raises(DigestMismatchError, match="does not fit key"):
            read_bundle_manifest(folder, key)


def test_the_public_key_cannot_be_used_as_a_secret_one(folder: Path) -> None:
    """Whoever knows the public key must not make an HMAC with it that passes."""
    sign_as_format_1(folder, SecretKey(KEY.public.value))
    with pytest.raises(DigestMismatchError, match="does not fit key"):
        read_bundle_manifest(folder, KEY.public)


def test_what_was_written_reads_back(folder: Path) -> None:
    version = write(folder)
    manifest = read_bundle_manifest(folder, KEY)
    assert (manifest.version, manifest.application, manifest.signature) == (version, "app", "verified")
    assert [f.path for f in manifest.files] == ["a.txt", "sub/c.txt"]
    assert manifest.read("sub/c.txt") == b"two"
    assert manifest.outputs == ("probability",)
    assert read_bundle_manifest(folder, None).signature == "unchecked"


def test_writing_again_gives_the_same_version(folder: Path) -> None:
    assert write(folder) == write(folder)


def test_an_unsigned_bundle_is_read_without_a_key_and_refused_with_one(folder: Path) -> None:
    write(folder, signed=False)
    assert read_bundle_manifest(folder, None).signature == "absent"
    with pytest.raises(DigestMismatchError, match="is not signed"):
        read_bundle_manifest(folder, KEY)


def test_another_key_is_refused_and_both_are_named(folder: Path) -> None:
    write(folder)
    with pytest.raises(DigestMismatchError, match=f"key {OTHER_KEY.id} .*{KEY.id}"):
        read_bundle_manifest(folder, OTHER_KEY)


def test_every_changed_byte_of_every_file_is_found(folder: Path) -> None:
    write(folder)
    for path in ("a.txt", "sub/c.txt"):
        body = (folder / path).read_bytes()
        for at in range(len(body)):
            (folder / path).write_bytes(body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
            with pytest.raises(DigestMismatchError, match=path):
                read_bundle_manifest(folder, None)
        (folder / path).write_bytes(body)
    read_bundle_manifest(folder, None)


@pytest.mark.parametrize("with_key", [True, False])
def test_a_changed_manifest_is_found(folder: Path, with_key: bool) -> None:
    write(folder)
    value = json.loads((folder / "bundle.json").read_text())
    value["golden_tolerance"] = 1000.0
    (folder / "bundle.json").write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    with pytest.raises(DigestMismatchError, match="signature" if with_key else "was changed"):
        read_bundle_manifest(folder, KEY if with_key else None)


def test_a_forged_manifest_with_right_digests_fails_the_signature(folder: Path) -> None:
    write(folder)
    old = json.loads((folder / "bundle.json").read_text())["signature"]
    (folder / "a.txt").write_bytes(b"evil")
    write(folder, signed=False)
    value = json.loads((folder / "bundle.json").read_text())
    value["signature"] = old
    (folder / "bundle.json").write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    read_bundle_manifest(folder, None)  # consistent in itself ...
    with pytest.raises(DigestMismatchError, match="does not fit key"):
        read_bundle_manifest(folder, KEY)  # ... but nobody with the key made it


def test_a_file_that_is_not_listed_is_refused_but_for_the_stores_manifest(folder: Path) -> None:
    write(folder)
    (folder / "manifest.json").write_text("{}")
    read_bundle_manifest(folder, KEY)
    (folder / "sub" / "more.py").write_text("")
    with pytest.raises(DigestMismatchError, match=r"sub/more\.py"):
        read_bundle_manifest(folder, KEY)


def test_a_missing_file_and_a_missing_manifest_are_named(folder: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"bundle\.json"):
        read_bundle_manifest(folder, None)
    write(folder)
    (folder / "a.txt").unlink()
    with pytest.raises(ArtifactMissingError, match=r"a\.txt"):
        read_bundle_manifest(folder, None)


def test_links_are_refused(folder: Path, tmp_path: Path) -> None:
    write(folder)
    (tmp_path / "outside").write_bytes(b"one")
    (folder / "a.txt").unlink()
    os.symlink(tmp_path / "outside", folder / "a.txt")
    with pytest.raises(DigestMismatchError, match="symbolic link"):
        read_bundle_manifest(folder, None)


def test_a_file_changed_after_verification_is_found_when_it_is_read(folder: Path) -> None:
    write(folder)
    manifest = read_bundle_manifest(folder, None)
    (folder / "a.txt").write_bytes(b"new")
    with pytest.raises(DigestMismatchError, match=r"a\.txt"):
        manifest.read("a.txt")
    with pytest.raises(ArtifactMissingError, match=r"no b\.txt"):
        manifest.read("b.txt")


@pytest.mark.parametrize("path", ["../a.txt", "/etc/passwd", "sub/../a.txt", "", "bundle.json", "a\\b", "./a.txt"])
def test_paths_that_lead_out_of_the_folder_are_refused(folder: Path, path: str) -> None:
    write(folder)
    value = json.loads((folder / "bundle.json").read_text())
    value["files"][0]["path"] = path
    (folder / "bundle.json").write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    with pytest.raises(SchemaError, match="path"):
        read_bundle_manifest(folder, None)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"format": 3},
        {"format": "2"},
        {"signature": {"algorithm": "none", "key": "0" * 16, "value": "0" * 128}},
        {"files": 3},
        {"files": [{}]},
        {"version": "../../x"},
        {"application": "A B"},
        {"signature": 7},
        {"golden_tolerance": "x"},
        {"golden_tolerance": -1},
        {"outputs": None},
        {"more": 1},
    ],
)
def test_a_damaged_manifest_is_refused_on_purpose(folder: Path, change: dict[str, object]) -> None:
    write(folder)
    value = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**value, **change}, indent=1, sort_keys=True) + "\n")
    with pytest.raises(PipelineError):
        read_bundle_manifest(folder, None)


def test_a_manifest_that_is_not_json_is_refused(folder: Path) -> None:
    (folder / "bundle.json").write_text("{")
    with pytest.raises(SchemaError, match="not JSON"):
        read_bundle_manifest(folder, None)


def test_all_problems_of_writing_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"application.*no files.*outputs.*golden_tolerance"):
        write_bundle_manifest(tmp_path, "No Name", [], float("nan"), None)


def test_one_changed_byte_anywhere_in_a_real_bundle_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", key=KEY)
    files = sorted(path for path in (tmp_path / "b").rglob("*") if path.is_file())
    chance = random.Random(8)
    for _ in range(300):
        path = chance.choice(files)
        body = path.read_bytes()
        at = chance.randrange(len(body))
        path.write_bytes(body[:at] + bytes([body[at] ^ chance.randrange(1, 256)]) + body[at + 1 :])
        with pytest.raises(PipelineError):
            read_bundle_manifest(tmp_path / "b", KEY.public)
        path.write_bytes(body)
    assert read_bundle_manifest(tmp_path / "b", KEY.public).signature == "verified"
