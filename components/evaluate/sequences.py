"""One split of a SequenceDataset as its files hold it: flat arrays over steps, and the windows that cut them.

Shapes: N steps, K skills per step at most, W windows, S students of the whole dataset.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.errors import SchemaError

NONE = 0
"""Index of no item, and of no (further) skill."""
UNKNOWN = 1
"""Index of every item, or skill, outside the vocabulary; those of the vocabulary follow."""
ARRAYS = ("items", "skills", "responses", "position", "scored", "starts", "lengths", "window_student")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The arrays of one split, memory-mapped. Every step lies in exactly one window."""

    items: npt.NDArray[np.int32]
    """(N,) indices: NONE, UNKNOWN or one of the vocabulary."""
    skills: npt.NDArray[np.int32]
    """(N, K) indices, all different, zeros (NONE) at the right."""
    responses: npt.NDArray[np.float32]
    """(N,) in [0, 1]."""
    position: npt.NDArray[np.uint32]
    """(N,) 0-based within the student."""
    scored: npt.NDArray[np.bool_]
    """(N,) False at each window's first step, before which there is nothing to predict from, and at mere history."""
    starts: npt.NDArray[np.int64]
    """(W,) first step of each window."""
    lengths: npt.NDArray[np.int32]
    """(W,) steps of each window."""
    window_student: npt.NDArray[np.int32]
    """(W,) row of `students.parquet`."""

    @property
    def steps(self) -> int:
        """N."""
        return len(self.responses)

    def student(self) -> npt.NDArray[np.int64]:
        """Return (N,) the student of each step."""
        out = np.empty(self.steps, np.int64)
        order = np.argsort(self.starts, kind="stable")
        out[:] = np.repeat(self.window_student[order], self.lengths[order])
        return out

    def of_windows(self, windows: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.int64], "Split"]:
        """Return (M,) the rows of some windows, in the order of the arrays, and a split of these alone, in memory."""
        windows = windows[np.argsort(self.starts[windows], kind="stable")]
        lengths = np.asarray(self.lengths[windows]).astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        rows = np.arange(lengths.sum()) + np.repeat(self.starts[windows] - starts, lengths)
        return rows, Split(
            items=np.asarray(self.items[rows]),
            skills=np.asarray(self.skills[rows]),
            responses=np.asarray(self.responses[rows]),
            position=np.asarray(self.position[rows]),
            scored=np.asarray(self.scored[rows]),
            starts=starts,
            lengths=np.asarray(self.lengths[windows]),
            window_student=np.asarray(self.window_student[windows]),
        )


def read_split(folder: Path, name: str) -> Split:
    """Return one split of the dataset in `folder`.

    Raises:
        SchemaError: a file is missing, or the arrays do not fit together; all problems at once.
    """
    missing = [f"{name}/{a}.npy" for a in ARRAYS if not (folder / name / f"{a}.npy").is_file()]
    if missing:
        raise SchemaError(
            f"The sequence dataset has no {', '.join(missing)}; expected {', '.join(ARRAYS)} for each split. "
            "Run preprocess again."
        )
    arrays = {a: np.load(folder / name / f"{a}.npy", mmap_mode="r") for a in ARRAYS}
    steps, starts, lengths = len(arrays["responses"]), arrays["starts"], arrays["lengths"]
    problems = [
        f"{a} has {len(arrays[a])} rows, responses has {steps}"
        for a in ("items", "skills", "position", "scored")
        if len(arrays[a]) != steps
    ]
    if arrays["skills"].ndim != 2:
        problems.append(f"skills has {arrays['skills'].ndim} dimension(s), not steps by skills")
    if not len(starts) == len(lengths) == len(arrays["window_student"]):
        problems.append("starts, lengths and window_student have different lengths")
    elif not _cover_once(starts, lengths, steps):
        problems.append(f"the {len(starts)} windows do not hold each of the {steps} steps exactly once")
    if problems:
        raise SchemaError(f"Split {name!r} does not fit together: {'; '.join(problems)}. Run preprocess again.")
    return Split(**arrays)


def _cover_once(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int32], steps: int) -> bool:
    order = np.argsort(starts, kind="stable")
    ends = starts[order] + lengths[order]
    expected = np.concatenate([[0], ends])
    return bool((lengths > 0).all() and np.array_equal(starts[order], expected[:-1]) and expected[-1] == steps)
