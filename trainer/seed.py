"""Random generators: seeding all of them, and capturing and restoring their states."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from trainer.errors import MisconfigurationException, four_parts
from trainer.types import PlainState

_MAX_SEED = 2**32 - 1
_SEED_VARIABLE = "PL_GLOBAL_SEED"
_WORKERS_VARIABLE = "PL_SEED_WORKERS"


def seed_everything(seed: int | str | None = None, workers: bool = False, verbose: bool = True) -> int:
    """Seed Python, NumPy and torch (all devices) and return the seed.

    Args:
        seed: from 0 to 2**32 - 1. None takes `PL_GLOBAL_SEED` from the environment, else 0.
        workers: seed the workers of loaders too, each differently, from this seed and the rank.
        verbose: print the seed, once, on rank zero.

    Raises:
        MisconfigurationException: the seed is out of range.
    """
    seed = int(os.environ.get(_SEED_VARIABLE, "0") if seed is None else seed)
    if not 0 <= seed <= _MAX_SEED:
        raise MisconfigurationException(
            four_parts(
                "`seed_everything` got a seed that NumPy cannot take.",
                got=seed,
                expected=f"an integer from 0 to {_MAX_SEED}",
                remedy="Pass a smaller non-negative seed.",
            )
        )
    if verbose and os.environ.get("RANK", "0") == "0":
        print(f"Seed set to {seed}")
    os.environ[_SEED_VARIABLE] = str(seed)
    os.environ[_WORKERS_VARIABLE] = str(int(workers))
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - user code draws from the global generator, so it has to be seeded
    torch.manual_seed(seed)
    return seed


def workers_are_seeded() -> bool:
    """Return whether `seed_everything(..., workers=True)` was called."""
    return os.environ.get(_WORKERS_VARIABLE) == "1"


class SeedWorker:
    """Worker initialiser that gives Python and NumPy of each worker their own stream, by rank.

    torch seeds each worker with base seed + worker id; the base seed is drawn by the loader in every epoch.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def __call__(self, worker_id: int) -> None:
        """Seed the generators of worker `worker_id`."""
        seed = (torch.initial_seed() + 1_000_003 * self.rank) % (_MAX_SEED + 1)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - as above
        torch.manual_seed(seed)


def pass_key(rng: PlainState, generators: PlainState, *place: int) -> bytes:
    """Return what the seeds of one pass over a loader follow from.

    Args:
        rng: the global generators when the pass was begun, from `capture_rng`.
        generators: those of the loader and its samplers.
        place: numbers that tell passes apart which begin with the same generators: epoch, rank and so on.
    """
    digest = hashlib.blake2b(digest_size=16)
    for state in (rng["torch"], *(generators[name] for name in sorted(generators))):
        digest.update(state.cpu().numpy().tobytes())
    digest.update(repr(place).encode())
    return digest.digest()


def seed_for_item(key: bytes, index: int) -> None:
    """Seed the global generators of a worker for item `index` of the pass with this key, each differently."""
    words = hashlib.blake2b(index.to_bytes(8, "little"), key=key, digest_size=20).digest()
    random.seed(words[:8])
    np.random.seed(int.from_bytes(words[8:12], "little"))  # noqa: NPY002 - as above
    # torch.manual_seed would queue a call for the GPU in each worker, once for each batch.
    torch.default_generator.manual_seed(int.from_bytes(words[12:], "little") >> 1)


def capture_rng() -> PlainState:
    """Return the states of every global generator as plain data and tensors."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    state: dict[str, Any] = {
        "python": [version, torch.tensor(internal, dtype=torch.int64), gauss],
        "numpy": [
            str(name),
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch leaves it untyped
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_rng(state: PlainState) -> None:
    """Set every global generator to a state that `capture_rng` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal.tolist()), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


@contextmanager
def isolated_rng(include_cuda: bool = True) -> Iterator[None]:
    """Leave every global generator as it was before the block; with `include_cuda`, the GPU's too."""
    state = capture_rng()
    if not include_cuda:
        state.pop("cuda", None)
    try:
        yield
    finally:
        restore_rng(state)
