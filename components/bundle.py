"""The bundle format: one signed `bundle.json` that lists every file of a release folder. Written and read only here.

`version` is `<application>-<first 12 hex digits of the digest>`, where the digest is over the application, the files,
the golden tolerance and the names of the outputs. The signature is over all of `bundle.json` but itself: Ed25519 since
format 2, an HMAC in format 1, which is still read. docs/reference/release-log.md has the format.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from components.artifacts import JsonValue, canonical_json, digest_of
from components.digests import digest_of_file
from components.errors import ArtifactMissingError, DigestMismatchError, SchemaError
from components.signing import ED25519, HMAC, Key, SigningKey, trusted

BUNDLE_FORMAT = 2
"""Version of the bundle format. Readers accept every version up to this one."""
MANIFEST = "bundle.json"
STORE_MANIFEST = "manifest.json"
"""The artifact store's own manifest, which lies beside the bundle once it is published. Nobody reads it from here."""
VERSION_DIGITS = 12
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_HEX128 = re.compile(r"[0-9a-f]{128}")
_KEY_ID = re.compile(r"[0-9a-f]{16}")
_FIELDS = frozenset({"format", "application", "version", "files", "outputs", "golden_tolerance", "signature"})

Signature = Literal["verified", "unchecked", "absent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFile:
    """One file of a bundle: its path below the folder, its digest and its size."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleManifest:
    """What `bundle.json` says, after every file was found to be as listed."""

    folder: Path
    application: str
    version: str
    digest: str
    files: tuple[BundleFile, ...]
    outputs: tuple[str, ...]
    """Names of the model's outputs."""
    golden_tolerance: float
    """Largest difference from a golden answer, in the answer's own unit."""
    key_id: str | None
    """Which key signed it, or None."""
    signature: Signature
    """`verified` with the key, `unchecked` because no key was given, or `absent`."""

    def has(self, path: str) -> bool:
        """Return whether the bundle lists a file."""
        return any(f.path == path for f in self.files)

    def read(self, path: str) -> bytes:
        """Return the bytes of a listed file; exactly the bytes returned are the ones whose digest was compared.

        Raises:
            ArtifactMissingError: the bundle lists no such file, or it is gone.
            DigestMismatchError: it was changed since the bundle was written.
        """
        entry = next((f for f in self.files if f.path == path), None)
        if entry is None:
            raise ArtifactMissingError(f"Bundle {self.version} has no {path}; make the release again.")
        try:
            body = (self.folder / path).read_bytes()
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"Bundle {self.version} lost its {path}; fetch the release again.") from error
        found = hashlib.sha256(body).hexdigest()
        if found != entry.sha256:
            raise _changed(self.version, path, found, entry.sha256)
        return body


def write_bundle_manifest(
    folder: Path, application: str, outputs: Sequence[str], golden_tolerance: float, key: SigningKey | None
) -> str:
    """Write `bundle.json` over all files of `folder` and return the version.

    Args:
        folder: every file below it belongs to the bundle; an old `bundle.json` is replaced.
        application: the application's name: small letters, digits and `_`.
        outputs: names of the model's outputs, in order.
        golden_tolerance: finite and not negative.
        key: signs the manifest; None leaves it unsigned.

    Raises:
        SchemaError: the folder or an argument cannot make a bundle; all problems at once.
    """
    files = [
        BundleFile(path=path, sha256=digest_of_file(folder / path), bytes=(folder / path).stat().st_size)
        for path in _paths_below(folder)
    ]
    problems = []
    if not _NAME.fullmatch(application):
        problems.append(f"application is {application!r}; expected small letters, digits and `_`")
    if not files:
        problems.append("the folder holds no files")
    if (folder / STORE_MANIFEST).exists():
        problems.append(f"{STORE_MANIFEST} is a name that the store needs for itself; rename the file")
    if not outputs:
        problems.append("outputs is empty; name at least one")
    if not (math.isfinite(golden_tolerance) and golden_tolerance >= 0):
        problems.append(f"golden_tolerance is {golden_tolerance}; expected a finite number of at least 0")
    if problems:
        raise SchemaError(f"No bundle can be made of {folder.name}: {'; '.join(problems)}.")
    digest = _digest(application, files, golden_tolerance, outputs)
    version = f"{application}-{digest[:VERSION_DIGITS]}"
    body: dict[str, JsonValue] = {
        "format": BUNDLE_FORMAT,
        "application": application,
        "version": version,
        "files": [{"path": f.path, "sha256": f.sha256, "bytes": f.bytes} for f in files],
        "outputs": list(outputs),
        "golden_tolerance": golden_tolerance,
    }
    signature: JsonValue = None
    if key is not None:
        signature = {"algorithm": ED25519, "key": key.id, "value": key.sign(canonical_json(body)).hex()}
    (folder / MANIFEST).write_bytes(_spelled({**body, "signature": signature}))
    return version


def read_bundle_manifest(folder: Path, key: Key | None) -> BundleManifest:
    """Return what `bundle.json` says after verifying every file, and the signature when `key` is given.

    Args:
        folder: holds `bundle.json`.
        key: a key that may have signed it, or several (`components.signing.TrustedKeys`).

    Raises:
        ArtifactMissingError: there is no `bundle.json`, or a listed file is missing.
        DigestMismatchError: a file, the version or the signature is not what was written, a file lies in the folder
            that is not listed, or `key` is given and the bundle is unsigned or signed with another.
        SchemaError: `bundle.json` is no manifest, or newer than this homeroom reads.
    """
    body = _parsed(folder)
    signature = body.pop("signature")
    manifest, algorithm, value = _manifest(folder, body, signature)
    if key is not None:
        if not value:
            raise DigestMismatchError(
                f"Bundle {manifest.version} is not signed, but a key was given to check it with. "
                "Make the release again with the key, or serve without one."
            )
        if not trusted(key).verify(algorithm, manifest.key_id, canonical_json(body), value):
            raise DigestMismatchError(
                f"The signature of bundle {manifest.version} does not fit key {trusted(key).ids} (it names key "
                f"{manifest.key_id}, {algorithm}): the bundle was changed, or signed with another key. Do not serve "
                "it; fetch or make the release again."
            )
        manifest = replace(manifest, signature="verified")
    expected = f"{manifest.application}-{manifest.digest[:VERSION_DIGITS]}"
    if manifest.version != expected:
        raise DigestMismatchError(
            f"{MANIFEST} calls itself {manifest.version}, but its contents make {expected}: it was changed. "
            "Fetch the release again."
        )
    _check_files(manifest)
    return manifest


def _parsed(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
        value = json.loads(raw)
    except FileNotFoundError as error:
        raise ArtifactMissingError(
            f"{folder} holds no {MANIFEST}; expected the folder of a release. Name the folder that holds it."
        ) from error
    except ValueError as error:
        raise SchemaError(f"{MANIFEST} in {folder} is not JSON; fetch the release again.") from error
    if not isinstance(value, dict) or not isinstance(value.get("format"), int):
        raise SchemaError(f"{MANIFEST} in {folder} is no bundle manifest; fetch the release again.")
    if value["format"] > BUNDLE_FORMAT:
        raise SchemaError(
            f"The bundle has format {value['format']}; this homeroom reads formats up to {BUNDLE_FORMAT}. "
            "Upgrade homeroom to read it."
        )
    wanted = _FIELDS | {"key_id"} if value["format"] == 1 else _FIELDS
    if value.keys() != wanted:
        raise SchemaError(
            f"{MANIFEST} in {folder} has other fields than expected: "
            f"missing {sorted(wanted - value.keys())}, unknown {len(value.keys() - wanted)}. Fetch the release again."
        )
    if value["format"] != 1 and raw != _spelled(value):
        raise DigestMismatchError(
            f"{MANIFEST} in {folder} is not spelled as it was written: it was changed. Fetch the release again."
        )
    return value


def _spelled(value: Mapping[str, Any]) -> bytes:
    """Return the one spelling of `bundle.json`, so that no byte of it can change unseen."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _manifest(folder: Path, body: Mapping[str, Any], signature: Any) -> tuple[BundleManifest, str, bytes]:
    """Return the manifest, and the signature's algorithm and bytes (empty where there is none)."""
    try:
        algorithm, key_id, value = _signature(body, signature)
        files = tuple(
            BundleFile(path=_safe(f["path"]), sha256=_hex(f["sha256"]), bytes=int(f["bytes"])) for f in body["files"]
        )
        version, application = str(body["version"]), str(body["application"])
        if not _NAME.fullmatch(application) or not re.fullmatch(r"[a-z0-9_]+-[0-9a-f]{12}", version):
            raise ValueError("application or version is spelled wrongly")
        if len({f.path for f in files}) != len(files):
            raise ValueError("a file is listed twice")
        tolerance = float(body["golden_tolerance"])
        if not (math.isfinite(tolerance) and tolerance >= 0):
            raise ValueError("golden_tolerance is no number of at least 0")
        manifest = BundleManifest(
            folder=folder,
            application=application,
            version=version,
            digest=_digest(application, files, body["golden_tolerance"], body["outputs"]),
            files=files,
            outputs=tuple(str(name) for name in body["outputs"]),
            golden_tolerance=tolerance,
            key_id=key_id,
            signature="absent" if signature is None else "unchecked",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SchemaError(f"{MANIFEST} in {folder} is damaged: {error}. Fetch the release again.") from error
    return manifest, algorithm, value


def _signature(body: Mapping[str, Any], signature: Any) -> tuple[str, str | None, bytes]:
    """Return algorithm, key and bytes of the signature, with nothing in them where there is none."""
    if body["format"] == 1:
        if not (signature is None or (isinstance(signature, str) and _HEX64.fullmatch(signature))):
            raise ValueError("the signature is no HMAC-SHA-256 in hex")
        return HMAC, body["key_id"], bytes.fromhex(signature or "")
    if signature is None:
        return "none", None, b""
    if not isinstance(signature, dict) or signature.keys() != {"algorithm", "key", "value"}:
        raise ValueError("the signature has other fields than algorithm, key and value")
    if signature["algorithm"] != ED25519:
        raise ValueError(f"the signature's algorithm is none that this homeroom knows, which is {ED25519}")
    if not (_HEX128.fullmatch(signature["value"]) and _KEY_ID.fullmatch(signature["key"])):
        raise ValueError("the signature or its key is not spelled in hex")
    return ED25519, signature["key"], bytes.fromhex(signature["value"])


def _check_files(manifest: BundleManifest) -> None:
    listed = {f.path: f for f in manifest.files}
    there = set(_paths_below(manifest.folder)) - {STORE_MANIFEST}
    missing = sorted(listed.keys() - there)
    if missing:
        raise ArtifactMissingError(f"Bundle {manifest.version} lacks {', '.join(missing)}; fetch the release again.")
    unlisted = sorted(there - listed.keys())
    if unlisted:
        raise DigestMismatchError(
            f"Bundle {manifest.version} holds files that its manifest does not list: {', '.join(unlisted)}. "
            "Remove them, or fetch the release again."
        )
    for path, entry in listed.items():
        found = digest_of_file(manifest.folder / path)
        if found != entry.sha256:
            raise _changed(manifest.version, path, found, entry.sha256)


def _paths_below(folder: Path) -> list[str]:
    """Return the relative paths of all files but `bundle.json`, sorted. Links are refused: they point elsewhere."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise DigestMismatchError(f"{name} is a symbolic link; a bundle holds plain files. Copy what it points to.")
        if path.is_file() and name != MANIFEST:
            found.append(name)
    return sorted(found)


def _digest(application: str, files: Sequence[BundleFile], tolerance: float, outputs: Sequence[str]) -> str:
    return digest_of(
        {
            "application": application,
            "files": [[f.path, f.sha256, f.bytes] for f in files],
            "golden_tolerance": tolerance,
            "outputs": list(outputs),
        }
    )


def _safe(path: object) -> str:
    if not isinstance(path, str) or not path or path in {MANIFEST, STORE_MANIFEST} or "\\" in path:
        raise ValueError("a file has no usable path")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or pure.as_posix() != path:
        raise ValueError("a file's path leads out of the bundle")
    return path


def _hex(value: object) -> str:
    if not isinstance(value, str) or not _HEX64.fullmatch(value):
        raise ValueError("a file has no SHA-256 in hex")
    return value


def _changed(version: str, path: str, found: str, expected: str) -> DigestMismatchError:
    return DigestMismatchError(
        f"{path} of bundle {version} has digest {found[:12]}, expected {expected[:12]}: it was changed. "
        "Do not serve it; fetch the release again."
    )
