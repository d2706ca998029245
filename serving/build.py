"""A build context for a release: bundle, serving code, requirements, Dockerfile and bentofile.yaml; no torch."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from components.bundle import BundleManifest, read_bundle_manifest
from components.signing import Key
from serving.errors import ServerStartError

REQUIREMENTS = (
    "bentoml",
    "cryptography",
    "fastapi",
    "numpy",
    "onnxruntime",
    "prometheus-client",
    "psutil",
    "pydantic",
    "pydantic-settings",
    "PyJWT",
    "starlette",
    "uvicorn",
)
"""What a server needs; written with the versions that are installed here."""
COMPONENTS = (
    "__init__",
    "app",
    "artifacts",
    "bundle",
    "digests",
    "errors",
    "inference",
    "monitoring/__init__",
    "monitoring/counts",
    "monitoring/names",
    "monitoring/reference",
    "monitoring/signals",
    "overrides",
    "processes",
    "pseudonyms",
    "secrets",
    "signing",
)
"""Modules of `components` that a server imports."""
SERVING = (
    "__init__",
    "aside",
    "batching",
    "bundle",
    "canary",
    "codecs",
    "errors",
    "health",
    "http",
    "live",
    "metrics",
    "monitor",
    "monitor_metrics",
    "observe",
    "openapi",
    "overrides",
    "pages",
    "requests",
    "rereading",
    "service",
    "session",
    "settings",
    "shadow",
    "slots",
    "status",
    "tally",
)
"""Modules of `serving` that a server imports, beside those of `serving.access`."""
PYTHON_LEAVES = shutil.ignore_patterns("__pycache__")

DOCKERFILE = """\
# {version}
FROM python:{python}-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \\
    BENTOML_DO_NOT_TRACK=True ORT_DISABLE_TELEMETRY=1 BENTOML_HOME=/tmp/bentoml
WORKDIR /srv/homeroom
COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt && useradd --system --uid 10001 homeroom
COPY release_service.py ./
COPY components ./components
COPY serving ./serving
COPY release ./release
USER homeroom
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \\
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:3000/readyz', timeout=4)"]
CMD ["bentoml", "serve", "release_service:Service", "--host", "0.0.0.0", "--port", "3000"]
"""

BENTOFILE = """\
# {version}
service: "release_service:Service"
labels:
  release: "{version}"
  application: "{application}"
include:
  - "release_service.py"
  - "components/**/*.py"
  - "serving/**/*.py"
  - "serving/page/*"
  - "release/**"
python:
  requirements_txt: "./requirements.txt"
  lock_packages: false
"""

SERVICE = """\
\"\"\"The service of release {version}, which lies beside this file.\"\"\"

from pathlib import Path

from serving.service import make_service
from serving.settings import ServiceSettings

RELEASE = Path(__file__).resolve().parent / "release"
Service = make_service(lambda: ServiceSettings(release=RELEASE))
"""


def write_build_context(
    release_folder: Path, target: Path, key: Key | None = None, *, python: str = "3.11"
) -> BundleManifest:
    """Write all that `docker build` or `bentoml build` needs to make an image of a release; return its manifest.

    Args:
        release_folder: holds `bundle.json`; it is verified first.
        target: a new or empty folder.
        key: the key that the release must be signed with; None does not check the signature.
        python: version of the image's Python.

    Raises:
        StoreError: the release is not what was written.
        FileExistsError: `target` holds files.
    """
    manifest = read_bundle_manifest(release_folder, key)
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty; name a new folder, so that nothing else gets into the image.")
    for package, modules in (("components", COMPONENTS), ("serving", SERVING)):
        (target / package).mkdir(parents=True)
        for module in modules:
            place = target / package / f"{module}.py"
            place.parent.mkdir(exist_ok=True)
            shutil.copy(_source() / package / f"{module}.py", place)
    shutil.copytree(_source() / "serving" / "page", target / "serving" / "page")
    shutil.copytree(_source() / "serving" / "access", target / "serving" / "access", ignore=PYTHON_LEAVES)
    for path in ("bundle.json", *(f.path for f in manifest.files)):
        place = target / "release" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(release_folder / path, place)
    read_bundle_manifest(target / "release", key)  # what was copied is what was verified
    names = {"version": manifest.version, "application": manifest.application, "python": python}
    (target / "Dockerfile").write_text(DOCKERFILE.format(**names), encoding="utf-8")
    (target / "bentofile.yaml").write_text(BENTOFILE.format(**names), encoding="utf-8")
    (target / "release_service.py").write_text(SERVICE.format(**names), encoding="utf-8")
    (target / ".dockerignore").write_text("**/__pycache__\n", encoding="utf-8")
    lines = [f"{name}=={version(name)}\n" for name in REQUIREMENTS]
    (target / "requirements.txt").write_text("".join(lines), encoding="utf-8")
    return manifest


def make_bento(context: Path, version: str) -> str:
    """Make a Bento of a build context in BentoML's store, and return its tag: the same for the same release.

    Raises:
        ServerStartError: BentoML did not make it; with the end of what it said.
    """
    name, _, digest = version.rpartition("-")
    tag = f"{name}:{digest}"
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "--name", name, "--version", digest, "."],
        cwd=context,  # BentoML reads no file outside of the folder that it is called in
        # Alone, as an image has it: the code of this installation is not looked at.
        env={**os.environ, "BENTOML_DO_NOT_TRACK": "True", "PYTHONPATH": str(context.resolve())},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise ServerStartError(
            f"BentoML made no Bento {tag} of {context} (exit status {done.returncode}). Is there one of that name "
            f"already (bentoml delete {tag}), and room in BENTOML_HOME? The end of what it said:\n{said}"
        )
    return tag


def _source() -> Path:
    return Path(__file__).resolve().parent.parent
