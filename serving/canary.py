"""Which students a challenger answers: the same ones at every request, and at every larger share.

A request may carry the student's pseudonym in the header `Homeroom-Student`. It is hashed here and goes nowhere else:
into no log, no metric, no file. A request without it is answered by the champion.
"""

import hashlib

HEADER = "Homeroom-Student"
LONGEST = 200
"""Characters of a pseudonym; a longer one is read as none."""
PARTS = 10_000


def takes_part(student: str | None, version: str, percent: int) -> bool:
    """Return whether the challenger `version`, which answers `percent` of the students, answers this one.

    The hash is over version and pseudonym, so that each challenger meets other students, and one student stays with
    it while its share grows.
    """
    if student is None or percent <= 0 or not 0 < len(student) <= LONGEST:
        return False
    text = f"{version}\n{student}".encode("utf-8", "surrogatepass")
    found = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
    return found % PARTS < percent * PARTS // 100
