"""One global batch for any number of processes: how much of it each takes at once."""

from __future__ import annotations

from typing import NamedTuple

from trainer.errors import MisconfigurationException, four_parts


class BatchShare(NamedTuple):
    """What one process does of a global batch: `accumulate` passes of `batch_size` samples."""

    batch_size: int
    accumulate: int


def share_of_batch(global_batch_size: int, processes: int, *, largest: int | None = None) -> BatchShare:
    """Return the batch size of a loader and `accumulate_grad_batches`, so that a step has the same samples everywhere.

    With them a run may be begun again with other numbers of processes: batch, learning rate and number of steps stay as
    they were chosen, and an epoch that was half done goes on with the samples that are left.

    Args:
        global_batch_size: samples of one optimizer step, over all processes.
        processes: that share them (`trainer.world_size`).
        largest: most samples that one process can hold at once; None accumulates nothing.

    Raises:
        MisconfigurationException: the processes cannot have equal shares.
    """
    for name, value in (("global_batch_size", global_batch_size), ("processes", processes), ("largest", largest)):
        if value is not None and value < 1:
            raise MisconfigurationException(
                four_parts(
                    f"`{name}` is no number of its kind.", got=value, expected="at least 1", remedy="Correct it."
                )
            )
    share, rest = divmod(global_batch_size, processes)
    if rest:
        below, above = share * processes, (share + 1) * processes
        near = f"{below} or {above}" if below else str(above)
        raise MisconfigurationException(
            four_parts(
                f"A global batch of {global_batch_size} samples cannot be shared equally by {processes} processes.",
                got=f"{global_batch_size} / {processes}",
                expected=f"a multiple of {processes}",
                remedy=f"Take a global batch of {near}, or a number of processes that divides {global_batch_size}.",
            )
        )
    accumulate = next(n for n in range(1, share + 1) if share % n == 0 and (largest is None or share // n <= largest))
    return BatchShare(share // accumulate, accumulate)
