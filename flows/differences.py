"""How two releases differ: files, figures, limits, codec, and what of data, code and configuration led to it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from components.artifacts import Evaluation, Release
from components.bundle import BundleManifest, read_bundle_manifest
from components.errors import ArtifactMissingError
from components.signing import Key
from components.store import Store
from flows.lineage import lineage_tree

Plain = dict[str, Any]  # plain JSON


def differences_between(store: Store, one: Release, other: Release, key: Key) -> Plain:
    """Return everything that differs between two releases, as plain JSON.

    Raises:
        StoreError: one of them is not what was written, or gone.
    """
    bundles = [read_bundle_manifest(store.folder(release), key) for release in (one, other)]
    trees = [_by_stage(lineage_tree(store, release)) for release in (one, other)]
    files = _files(*bundles)
    return {
        "versions": [one.version, other.version],
        "files": files,
        "codec": "changed" if any(files.get(name) for name in files if name.startswith("codec")) else "the same",
        "figures": _figures(store, trees),
        "limits": _changes(*(_limits(bundle) for bundle in bundles)),
        "lineage": _lineage(*trees),
    }


def _files(one: BundleManifest, other: BundleManifest) -> Plain:
    """Return path -> what became of it, of the files that are not alike."""
    before, after = ({f.path: f.sha256 for f in bundle.files} for bundle in (one, other))
    found = {}
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            found[path] = "removed" if path not in after else "added" if path not in before else "changed"
    return found


def _figures(store: Store, trees: list[dict[str, Plain]]) -> Plain:
    """Return measure -> its value in each, from the evaluations that the releases carry."""
    found: list[Mapping[str, float]] = []
    for tree in trees:
        try:
            evaluation = store.find(tree["evaluate"]["sha256"]) if "evaluate" in tree else None
        except ArtifactMissingError:
            evaluation = None
        found.append(evaluation.metrics if isinstance(evaluation, Evaluation) else {})
    names = sorted(found[0].keys() | found[1].keys())
    return {name: [found[0].get(name), found[1].get(name)] for name in names}


def _limits(bundle: BundleManifest) -> Plain:
    """Return the limits that a release was judged by, as its reports say them."""
    limits: Plain = {}
    for name in ("fairness.json", "metrics.json"):
        if bundle.has(name):
            report = json.loads(bundle.read(name))
            limits |= dict(_flat(report.get("limits", {}), f"{name.removesuffix('.json')}"))
    limits["golden_tolerance"] = bundle.golden_tolerance
    return limits


def _lineage(one: Mapping[str, Plain], other: Mapping[str, Plain]) -> Plain:
    """Return stage -> what differs in how it was made, of the stages where something does."""
    found: Plain = {}
    for stage in [*one, *(name for name in other if name not in one)]:
        if stage not in one or stage not in other:
            found[stage] = {"only_in": 0 if stage in one else 1}
            continue
        before, after = one[stage], other[stage]
        parts: Plain = {
            "config": _changes(dict(_flat(before["config"])), dict(_flat(after["config"]))),
            "packages": _changes(before["packages"], after["packages"]),
            "files": _changes(_raw(before), _raw(after)),
        }
        changed = {name: part for name, part in parts.items() if part}
        if before["code"] != after["code"]:
            changed["code"] = [before["code"][:12], after["code"][:12]]
        if changed:
            found[stage] = changed
    return found


def _by_stage(tree: Plain) -> dict[str, Plain]:
    """Return stage -> its node, from the release back to the raw files."""
    found: dict[str, Plain] = {}
    waiting = [tree]
    while waiting:
        node = waiting.pop(0)
        if node["kind"] != "missing":
            found.setdefault(node["stage"] or "raw files", node)
            waiting += node["parents"]
    return found


def _raw(node: Plain) -> Plain:
    return {file["sha256"][:12]: file["uri"] for file in node.get("files", [])}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Plain:
    """Return name -> both values, of the names whose values differ."""
    names = sorted(before.keys() | after.keys())
    return {name: [before.get(name), after.get(name)] for name in names if before.get(name) != after.get(name)}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _flat(one, f"{path}.{name}" if path else str(name))
    else:
        yield path, value
