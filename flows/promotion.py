"""Whether a new release takes over: it and the champion answer the same held-out students, as the service would."""

from components.app import Application
from components.artifacts import Artifact, Evaluation, Release
from components.chain import HeldOut
from components.errors import ArtifactMissingError, DigestMismatchError, PipelineError, StoreError
from components.secrets import SecretKey
from components.store import Store
from serving.errors import BundleError, ReleaseNotFoundError
from serving.registry import ReleaseRegistry
from serving.release import FAIL, Decision, decide

GONE = (ArtifactMissingError, DigestMismatchError, ReleaseNotFoundError, BundleError)
"""What says that a release cannot serve any more; any other error may pass."""


def promote_if_better(
    store: Store,
    application: Application,
    release: Release,
    logs: Artifact,
    evaluation: Evaluation,
    *,
    signing_key: SecretKey,
    max_drop: float,
) -> Decision:
    """Decide whether `release` takes over from the application's champion, and let it.

    The champion's recorded figures come from the students of its own day. So both releases answer the students that
    `evaluation` held out, from the same logs, and those answers are compared. Where the split changed, some of these
    students may have been the champion's own training students: that favours the champion.

    A release that served before and was replaced, by a later one or by a rollback, does not come back by itself.

    Two runs of an application decide one after the other, where one machine's locks reach.
    """
    with store.locked(f"promotion-{application.name}", lambda: None):
        return _promote_if_better(store, application, release, logs, evaluation, signing_key, max_drop)


def _promote_if_better(
    store: Store,
    application: Application,
    release: Release,
    logs: Artifact,
    evaluation: Evaluation,
    signing_key: SecretKey,
    max_drop: float,
) -> Decision:
    registry, headline = ReleaseRegistry(store), application.kind.headline
    try:
        champion = registry.current(application.name)
    except StoreError as error:
        registry.register(release)
        return Decision(promote=False, reason=str(error))
    if champion is not None and champion.version == release.version:
        return Decision(promote=True, reason="it is the current release already")
    if any(entry.version == release.version for entry in registry.history(application.name)):
        return Decision(
            promote=False,
            reason="it served before and was replaced; "
            f"`homeroom releases {application.name} --promote {release.version}` makes it serve again",
        )
    if champion is None or release.verdict == FAIL:
        decision = decide(release.verdict, evaluation.metrics, None, max_drop, metric=headline)
    else:
        try:
            other = registry.find(champion.version)
            new, old = _same_students(store, application, (release, other), logs, evaluation, signing_key)
        except GONE as error:
            decision = Decision(promote=True, reason=f"the champion cannot serve any more ({type(error).__name__})")
        except PipelineError as error:
            decision = Decision(
                promote=False,
                reason=f"it could not be compared with the current release ({type(error).__name__}); the next run "
                f"tries again, and `homeroom releases {application.name} --promote {release.version}` does without",
            )
        else:
            decision = decide(release.verdict, {headline: new}, {headline: old}, max_drop, metric=headline)
    if decision.promote:
        registry.promote(release, decision.reason)
    else:
        registry.register(release)
    return decision


def _same_students(
    store: Store,
    application: Application,
    releases: tuple[Release, Release],
    logs: Artifact,
    evaluation: Evaluation,
    signing_key: SecretKey,
) -> tuple[float, float]:
    """Return the headline metric of both releases on the answers that `evaluation` scored."""
    from serving.bundle import load_bundle  # late: most runs have nothing to compare

    held_out = HeldOut(logs=store.folder(logs), evaluation=store.folder(evaluation))
    compare = application.kind.part(application.kind.comparison)
    found = []
    for release in releases:
        bundle = load_bundle(store.folder(release), signing_key)
        found.append(float(compare(application, held_out, bundle.codec, bundle.session.run)))
    return found[0], found[1]
