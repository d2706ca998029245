"""What the gate says today of a release that is to go on or to come back: by its override, and by the last decision."""

from collections.abc import Callable

from components.errors import ArtifactMissingError, DigestMismatchError
from components.gate.override import today_utc
from components.gate.records import DecisionRecords
from components.store import Store
from serving.registry import Slot


def override_expired(slot: Slot) -> str:
    """Return in words that the override by which a release has its place counts no more; empty where it does."""
    today = today_utc()
    if slot.override is None or slot.override.counts_on(today):
        return ""
    return f"its {slot.override.sentence(today)}"


def missing_from(store: Store) -> Callable[[Slot], str]:
    """Return what says why a release cannot serve again, as it is not whole any more, or takes it into use.

    It raises StoreError where the store cannot be asked: nobody knows then.
    """

    def missing(slot: Slot) -> str:
        try:
            store.use(store.find(slot.artifact))
        except (ArtifactMissingError, DigestMismatchError) as error:
            return str(error)
        return ""

    return missing


class Permission:
    """What the gate says today of a release in a slot: by its override, and by the last decision on it.

    Args:
        store: has the decisions.
        application: whose.
    """

    def __init__(self, store: Store, application: str) -> None:
        self._records = DecisionRecords(store)
        self._application = application

    def __call__(self, slot: Slot) -> str:
        """Return why it may not go on, empty where it may, or where nothing was decided on it.

        Raises:
            StoreError: the decision cannot be read: nothing may go on by it.
        """
        if expired := override_expired(slot):
            return expired
        decision = self._records.latest(self._application, slot.version)
        latest = self._records.latest_day(self._application)  # whatever this machine's clock says
        today = today_utc() if latest is None else max(today_utc(), latest)
        if decision is None or decision.lets_through(today):
            return ""
        return f"the gate stops it: {'; '.join(decision.reasons('stop')[:1]) or decision.reason}"
