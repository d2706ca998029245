"""Settings of the service, read from the environment once at start-up, never at import."""

from datetime import date
from pathlib import Path

from pydantic import BaseModel, Field, Json
from pydantic_settings import BaseSettings, SettingsConfigDict


class GateOverride(BaseModel):
    """A person's word by which a release serves that the gate stops."""

    by: str = Field(description="Who answers for it.")
    reason: str
    until: date = Field(description="The last day, in UTC, on which it counts.")


class ServiceSettings(BaseSettings):
    """Where the release is and how it is served. Each field is `HOMEROOM_<FIELD>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="HOMEROOM_", frozen=True, extra="ignore")

    release: Path | None = None
    """Folder of the bundle: this release and no other is served. Without it, and without a store to follow, the
    service starts, says so, and never becomes ready."""
    serve_store: str | None = None
    """Artifact store whose pointer log says what is served; with `serve_application`, in the place of `release`."""
    serve_application: str | None = None
    """Whose log it is."""
    serve_cache: Path | None = None
    """Folder for verified copies of a remote store's releases."""
    serve_poll_s: float = Field(default=0.5, gt=0)
    """How often a worker looks whether the log has a new entry."""
    serve_keep_s: float = Field(default=900.0, ge=0)
    """How long a release that was replaced stays in memory, so that taking it back needs no loading."""
    serve_status: Path | None = None
    """Folder, shared by the workers of one server, in which each says once a second what it does: plain counts."""
    serve_workers: int = Field(default=1, ge=1)
    """Worker processes, each with its own copy of the model and its own queue."""
    release_key: Path | None = None
    """File of the public key (or keys, one a line) that releases are signed with; only those are served then."""
    serve_int8: bool = False
    """Serve `model.int8.onnx` instead of `model.onnx`."""
    serve_threads: int = Field(default=1, ge=1)
    """Threads of ONNX Runtime within one run."""
    serve_rows: int = Field(default=64, ge=1)
    """Most rows in one run of the model."""
    serve_waiting: int = Field(default=256, ge=1)
    """Most requests that may wait; one more is refused with 503."""
    serve_timeout_s: float = Field(default=10.0, gt=0)
    """After this time a request is answered with 504."""
    serve_body_bytes: int = Field(default=2_000_000, ge=1)
    """Largest body of a request; a larger one is refused with 413."""
    serve_overrides: Path | None = None
    """Folder in which teachers' overrides are stored. Without it the service takes none, and its page says so."""
    serve_gate_override: Json[GateOverride] | None = None
    """As JSON (`by`, `reason`, `until`): by whose word the release serves though the gate stops it; `homeroom serve`
    sets it, and `/v1/version` says it."""
    serve_pseudonym_key: Path | None = None
    """File of the key that makes pseudonyms of students at ingest. Without it overrides name no student."""
