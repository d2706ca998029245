"""Which parts of a total stay hidden: the small ones, and so many others that the total gives no small one back.

Where the total is known (all rows of a group are in its bins), a single hidden part is the total less the others. So
what is hidden must be large enough together, and more than one part.
"""

import numpy as np
import numpy.typing as npt


def shown_parts(
    rows: npt.NDArray[np.integer], students: npt.NDArray[np.integer], *, min_rows: int, min_students: int
) -> npt.NDArray[np.bool_]:
    """Return (C,) which parts of a known total may be shown.

    A part with too few rows or students is hidden. While what is hidden is a single part, or too few rows or students
    all together, the smallest part that is still shown is hidden as well. Empty parts are hidden and protect nothing.

    Args:
        rows: (C,) rows of each part.
        students: (C,) students with a row in each part. A student may be in several: the hidden students are counted as
            those of the largest hidden part, the fewest that they can be.
        min_rows: what a part must have.
        min_students: what a part must have.
    """
    shown = np.asarray((rows >= min_rows) & (students >= min_students))
    while True:
        hidden = ~shown & (rows > 0)
        if not hidden.any() or not shown.any():
            return shown
        is_safe = hidden.sum() > 1 and rows[hidden].sum() >= min_rows and students[hidden].max() >= min_students
        if is_safe:
            return shown
        shown[int(np.argmin(np.where(shown, rows, np.iinfo(np.int64).max)))] = False
