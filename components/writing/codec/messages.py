"""What the service is asked and what it answers; the service derives its types from these."""

from dataclasses import dataclass

MAX_CHARACTERS = 200_000
"""A longer text is refused: no response to a prompt is a book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A text to grade. The service keeps nothing of it."""

    prompt: str
    """Id of the prompt (the task) that the text responds to."""
    text: str
    explain: bool = False
    """Also say what moved the score; takes some tens of milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One thing that moved the score, against the usual response to the same prompt."""

    kind: str
    """`feature`, `words`, `passage` or `repeated`."""
    name: str
    """The family of features, the words, or empty."""
    effect: float
    """Points of the rubric that it moved the raw score by; above 0: up."""
    sentence: str
    start: int | None = None
    """A passage's first character in the request's text, and the first behind it."""
    end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A score, or the reason why there is none."""

    score: float | None = None
    """On the rubric's own scale: a score that can be given."""
    raw: float | None = None
    """The model's number before rounding, within the rubric's range."""
    interval: tuple[float, float] | None = None
    """Where a human's score lies in 9 of 10 cases like those of the training."""
    traits: dict[str, float]
    abstained: str | None = None
    """`empty`, `too_short`, `copied_prompt`, `not_the_language`, `gibberish`, `off_prompt` or `outside_training`."""
    reason: str | None = None
    """The same as a sentence."""
    feedback: tuple[Feedback, ...] = ()
