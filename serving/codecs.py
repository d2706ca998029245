"""A release's own codec as a module: exactly the bytes that were verified, under a name of its own.

A codec is one file, `codec.py`, or a package, `codec/`, whose files import each other relatively. No `.pyc` is written
beside them, and nothing is read from the disk again.
"""

import hashlib
import importlib
import importlib.abc
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

from components.bundle import BundleManifest
from serving.errors import BundleError

CODEC = "codec.py"
PACKAGE = "codec/__init__.py"


class _CodecFinder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads the modules that it was given."""

    def __init__(self) -> None:
        self._sources: dict[str, tuple[bytes, str, bool]] = {}

    def add(self, name: str, source: bytes, place: str, *, is_package: bool) -> None:
        """Have `import name` run `source`; tracebacks name `place`."""
        self._sources[name] = (source, place, is_package)

    def find_spec(self, fullname: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in self._sources:
            return None
        spec = importlib.util.spec_from_loader(fullname, self, is_package=self.is_package(fullname))
        assert spec is not None  # the module is there
        spec.origin, spec.has_location = self._sources[fullname][1], True
        return spec

    def is_package(self, fullname: str) -> bool:
        return self._sources[fullname][2]

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self._sources[fullname][0])

    def get_code(self, fullname: str) -> CodeType:
        source, place, _ = self._sources[fullname]
        return self.source_to_code(source, place)


_FINDER = _CodecFinder()


def has_codec(manifest: BundleManifest) -> bool:
    """Return whether a bundle holds a codec."""
    return manifest.has(CODEC) or manifest.has(PACKAGE)


def codec_digest(manifest: BundleManifest) -> str:
    """Return the SHA-256 of the codec's code; of a package, of its files' names and digests."""
    files = {file.path: file.sha256 for file in manifest.files}
    if CODEC in files:
        return files[CODEC]
    own = sorted(f"{path} {sha256}" for path, sha256 in files.items() if path.startswith("codec/"))
    return hashlib.sha256("\n".join(own).encode()).hexdigest()


def codec_module(manifest: BundleManifest) -> ModuleType:
    """Run the bundle's codec and return its module; a bundle that was loaded before gives the same module.

    Raises:
        BundleError: it does not run here.
    """
    name = f"homeroom_codec_{manifest.digest[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
    if manifest.has(CODEC):
        _FINDER.add(name, manifest.read(CODEC), str(manifest.folder / CODEC), is_package=False)
    else:
        for file in manifest.files:
            folder, _, stem = file.path.removesuffix(".py").rpartition("/")
            if folder == "codec" and file.path.endswith(".py"):
                inner = name if stem == "__init__" else f"{name}.{stem}"
                place = str(manifest.folder / file.path)
                _FINDER.add(inner, manifest.read(file.path), place, is_package=stem == "__init__")
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise BundleError(
            f"The codec of bundle {manifest.version} does not run here ({type(error).__name__}); expected a file that "
            "needs the standard library and numpy only. Make the release again."
        ) from error
