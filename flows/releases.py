"""Finding a release by what a person types: a version, its beginning, or an application's name."""

from components.app import application_names
from components.artifacts import Release
from components.errors import ArtifactMissingError, DigestMismatchError, StoreError
from components.store import Store
from serving.errors import ReleaseNotFoundError
from serving.registry import ReleaseRegistry


def take_release(store: Store, text: str) -> Release:
    """Return the release that `text` names, registered and kept from garbage collection, as something goes on with it.

    A store that may only be read gives it all the same.

    Raises:
        ReleaseNotFoundError: there is none, or more than one.
        ArtifactMissingError: the manifest or a file is missing.
        DigestMismatchError: a file or the manifest is not what was published.
    """
    found = find_release(store, text)
    try:
        ReleaseRegistry(store).register(found)
        store.use(found)
    except (ArtifactMissingError, DigestMismatchError):
        raise
    except StoreError:
        store.verify(found)
    return found


def find_release(store: Store, text: str) -> Release:
    """Return the release that `text` names: an application (its current release), a version, or a unique beginning.

    Raises:
        ReleaseNotFoundError: there is none, or more than one.
    """
    registry = ReleaseRegistry(store)
    if text not in application_names():
        return registry.find(text)
    current = registry.current(text)
    if current is None:
        raise ReleaseNotFoundError(
            f"{text} has no current release in {store.url}. Make one with `homeroom run {text} --data ...`."
        )
    return registry.find(current.version)
