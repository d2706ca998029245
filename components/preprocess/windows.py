"""Windows over flat sequences: starts and lengths, without touching the steps themselves."""

import numpy as np
import numpy.typing as npt


def cut_windows(
    lengths: npt.NDArray[np.int64], max_len_steps: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Cut sequences that lie one after the other into windows of at most `max_len_steps`.

    Args:
        lengths: int64 (S,), steps of each sequence, in the order in which they lie.
        max_len_steps: at least 1.

    Returns:
        starts (W,) int64 into the flat arrays, lengths (W,) int32, sequence (W,) int32: the sequence of each window.
        The windows of a sequence cover it once, in order; only the last may be shorter.
    """
    counts = -(-lengths // max_len_steps)
    sequence = np.repeat(np.arange(len(lengths)), counts)
    first_window = np.cumsum(counts) - counts
    place = np.arange(len(sequence)) - first_window[sequence]
    offsets = np.cumsum(lengths) - lengths
    starts = offsets[sequence] + place * max_len_steps
    sizes = np.minimum(lengths[sequence] - place * max_len_steps, max_len_steps)
    return starts.astype(np.int64), sizes.astype(np.int32), sequence.astype(np.int32)
