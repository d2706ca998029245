"""The codec of scored writing, for every application that grades texts. Standard library and numpy only.

A release carries this folder. Preprocessing reads texts through the same functions, so both read data alike.
"""

from .coding import CODEC_VERSION, FIRST, FIRST_GRAM, PADDING, UNKNOWN, Codec, Row
from .features import FAMILIES, FEATURES, Feature
from .messages import MAX_CHARACTERS, Answer, Feedback, Request
from .rubric import Rubric
from .sentences import SENTENCES

__all__ = [
    "CODEC_VERSION",
    "FAMILIES",
    "FEATURES",
    "FIRST",
    "FIRST_GRAM",
    "MAX_CHARACTERS",
    "PADDING",
    "SENTENCES",
    "UNKNOWN",
    "Answer",
    "Codec",
    "Feature",
    "Feedback",
    "Request",
    "Row",
    "Rubric",
]
