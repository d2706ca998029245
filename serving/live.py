"""What a server answers with: the one live release and its batcher, or the reason why there is none."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.app import GradingCodec
from components.errors import PipelineError
from components.overrides import Journal
from components.secrets import read_or_make_key
from components.signing import TrustedKeys, read_trusted_keys
from serving.batching import Batcher
from serving.bundle import Bundle, load_bundle
from serving.errors import BundleError, NotReadyError
from serving.health import golden_problems
from serving.monitor import Monitor
from serving.overrides import Overrides
from serving.settings import GateOverride, ServiceSettings
from serving.tally import Tally

log = logging.getLogger("homeroom.serving")


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """State of a server after its start. `reason` is empty exactly when it is ready."""

    bundle: Bundle | None
    batcher: Batcher | None
    reason: str
    timeout_s: float
    """Limit on reading a request and on answering it, each."""
    body_bytes: int
    """Largest body of a request."""
    overrides: Overrides | None = None
    """Takes teachers' overrides; None where the release has no scores to correct, or no folder is given for them."""
    gate_override: GateOverride | None = None
    """By whose word a release serves that the gate stops."""
    monitor: Monitor | None = None
    """Counts the signals of what it is asked and answers; None where the release has no reference of them."""
    tally: Tally = field(default_factory=Tally)
    """What it did here since it was loaded; counted on the event loop."""

    @property
    def is_ready(self) -> bool:
        """Whether the golden answers were given, so that others may ask."""
        return not self.reason

    async def answer(self, request: Any) -> Any:  # Any: the codec's Request and Answer
        """Return the answer to one request. Raises NotReadyError, or what `Batcher.answer` raises."""
        if self.batcher is None or self.reason:
            raise NotReadyError("This server is not ready to answer; GET /v1/version says why.")
        return await self.batcher.answer(request, self.timeout_s)

    def close(self, drain_s: float = 10.0) -> None:
        """Answer what is waiting and end."""
        if self.batcher is not None and not self.batcher.close(drain_s):
            log.warning("Stopped before all waiting requests were answered")
        if self.overrides is not None:
            self.overrides.close()


def go_live(settings: ServiceSettings, folder: Path | None = None) -> Live:
    """Load a release and replay its golden requests. Never raises: a server says what is wrong with it.

    A bundle that was changed is refused before any of its code runs; the server then stays up, unready, so that the
    reason can be read from it.

    Args:
        settings: how it is served.
        folder: the bundle; None takes that of the settings.
    """
    bundle: Bundle | None = None
    overrides: Overrides | None = None
    try:
        bundle = _load(settings, folder or settings.release)
        problems = golden_problems(bundle)
        overrides = _overrides(settings, bundle)
        reason = " ".join(problems)
    except PipelineError as error:
        reason = str(error)
    except Exception as error:  # a bundle may be broken in ways nobody thought of
        reason = f"The release could not be loaded ({type(error).__name__})."
    if reason:
        log.error("Not ready: %s", reason)
        return _live(settings, bundle, None, reason)
    assert bundle is not None
    log.info("Release %s is live (signature %s)", bundle.version, bundle.manifest.signature)
    batcher = Batcher(
        bundle.codec, bundle.session.run, max_rows=settings.serve_rows, max_waiting=settings.serve_waiting
    )
    return _live(settings, bundle, batcher, "", overrides)


def start_live(settings: Callable[[], ServiceSettings]) -> Live:
    """Read the settings, then `go_live`. A setting that cannot be read is a reason too, told without its value."""
    chosen = read_settings(settings)
    return chosen if isinstance(chosen, Live) else go_live(chosen)


def read_settings(settings: Callable[[], ServiceSettings]) -> ServiceSettings | Live:
    """Return the settings, or a server without a release that says which of them cannot be read."""
    try:
        return settings()
    except ValidationError as error:
        names = sorted({f"HOMEROOM_{one['loc'][0]}".upper() for one in error.errors(include_input=False)})
        reason = f"{', '.join(names)} cannot be read; serving/settings.py says what each may be. Mend or unset it."
        log.error("Not ready: %s", reason)
        return not_ready(ServiceSettings.model_construct(), reason)


def not_ready(settings: ServiceSettings, reason: str) -> Live:
    """Return what answers without a release: with this reason."""
    return _live(settings, None, None, reason)


def _live(
    settings: ServiceSettings,
    bundle: Bundle | None,
    batcher: Batcher | None,
    reason: str,
    overrides: Overrides | None = None,
) -> Live:
    monitor = Monitor.of(bundle) if bundle is not None else None
    return Live(
        bundle=bundle,
        batcher=batcher,
        reason=reason,
        timeout_s=settings.serve_timeout_s,
        body_bytes=settings.serve_body_bytes,
        overrides=overrides,
        gate_override=settings.serve_gate_override,
        monitor=monitor,
        tally=Tally(signals=monitor.counts() if monitor is not None else {}),
    )


def _load(settings: ServiceSettings, folder: Path | None) -> Bundle:
    if folder is None:
        raise BundleError("HOMEROOM_RELEASE is not set; set it to the folder of a release, which holds bundle.json.")
    return load_bundle(folder, _key(settings), threads=settings.serve_threads, int8=settings.serve_int8)


def _overrides(settings: ServiceSettings, bundle: Bundle) -> Overrides | None:
    """Return what takes overrides. Raises StoreError where they could not be stored: better told now than then."""
    if settings.serve_overrides is None or not isinstance(bundle.codec, GradingCodec):
        return None
    key = None
    if settings.serve_pseudonym_key is not None:
        if not settings.serve_pseudonym_key.is_file():
            raise BundleError(
                "HOMEROOM_SERVE_PSEUDONYM_KEY names no file; set it to the key that ingest makes pseudonyms with, or "
                "unset it to take overrides without ids of students."
            )
        key = read_or_make_key(settings.serve_pseudonym_key)
    journal = Journal(settings.serve_overrides)
    log.info("%d overrides are stored", journal.check())
    return Overrides(journal, bundle, key)


def _key(settings: ServiceSettings) -> TrustedKeys | None:
    if settings.release_key is None:
        return None
    if not settings.release_key.is_file():
        raise BundleError(
            "HOMEROOM_RELEASE_KEY names no file; set it to the file of the key that releases are signed with, or unset "
            "it to serve without checking signatures."
        )
    return read_trusted_keys(settings.release_key)
