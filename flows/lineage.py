"""From an artifact back to the raw files: the tree of what made what."""

from collections import defaultdict
from typing import Any

from components.artifacts import Artifact, Lineage, RawFiles
from components.errors import ArtifactMissingError
from components.store import Store

Node = dict[str, Any]  # plain JSON; raw files have `files` besides


def lineage_tree(store: Store, artifact: Artifact) -> Node:
    """Return the tree above `artifact`, as plain JSON.

    The same bytes may have been made more than once, from other inputs that led to the same. Where a run's record says
    which artifacts belong to `artifact`, a node tells the making out of those; else the latest. `also_from` names the
    inputs of the other makings.
    """
    return _node(store, artifact, _makings(store), _of_same_run(store, artifact))


def _makings(store: Store) -> dict[str, list[Lineage]]:
    """Return, per artifact, how it was made, latest last; from the records of finished stages."""
    found: dict[str, list[tuple[str, Lineage]]] = defaultdict(list)
    for path in store.list_records("stages"):
        record = store.read_record(path)
        if isinstance(record, dict) and "artifact" in record and "finished_utc" in record:
            handle = record["artifact"]
            found[handle["ref"]["sha256"]].append((record["finished_utc"], Lineage.from_json(handle["lineage"])))
    return {sha256: [one for _, one in sorted(many, key=lambda m: m[0])] for sha256, many in found.items()}


def _of_same_run(store: Store, artifact: Artifact) -> frozenset[str]:
    """Return the identities of all artifacts of the latest run that ended with `artifact`."""
    for path in reversed(store.list_records("runs")):
        record = store.read_record(path)
        if isinstance(record, dict):
            identities = frozenset(a["sha256"] for a in record.get("artifacts", {}).values())
            if artifact.sha256 in identities:
                return identities
    return frozenset()


def _node(store: Store, artifact: Artifact, makings: dict[str, list[Lineage]], run: frozenset[str]) -> Node:
    ways = makings.get(artifact.sha256, [artifact.lineage])
    chosen = _chosen(ways, run)
    node = _made(artifact.kind, artifact.sha256, ways, run)
    if isinstance(artifact, RawFiles):
        pairs = zip(artifact.uris, artifact.digests, strict=True)
        node["files"] = [{"uri": uri, "sha256": digest} for uri, digest in pairs]
    node["parents"] = [_parent(store, sha256, makings, run) for sha256 in chosen.parents]
    return node


def _chosen(ways: list[Lineage], run: frozenset[str]) -> Lineage:
    return next((way for way in reversed(ways) if run.issuperset(way.parents)), ways[-1])


def _made(kind: str, sha256: str, ways: list[Lineage], run: frozenset[str]) -> Node:
    """Return the node of an artifact without its parents."""
    chosen = _chosen(ways, run)
    return {
        "kind": kind,
        "sha256": sha256,
        "stage": chosen.stage,
        "started_utc": chosen.started_utc,
        "code": chosen.code,
        "packages": dict(chosen.packages),
        "config": dict(chosen.config),
        "also_from": sorted({p for way in ways for p in way.parents} - set(chosen.parents)),
    }


def _parent(store: Store, sha256: str, makings: dict[str, list[Lineage]], run: frozenset[str]) -> Node:
    try:
        return _node(store, store.find(sha256), makings, run)
    except ArtifactMissingError:
        return _retired(store, sha256, makings, run)


def _retired(store: Store, sha256: str, makings: dict[str, list[Lineage]], run: frozenset[str]) -> Node:
    """Return the node of what is not there: deleted for good, and still known how it was made; or missing."""
    try:
        origin = store.origin(sha256)
    except ArtifactMissingError:
        return {"kind": "missing", "sha256": sha256, "stage": "", "also_from": [], "parents": []}
    ways = makings.get(sha256, [origin.lineage])
    parents = [_parent(store, one, makings, run) for one in _chosen(ways, run).parents]
    return {**_made(origin.kind, sha256, ways, run), "retired": origin.retired, "parents": parents}
