"""The layout `semeval`: questions with reference answers and labelled student answers, one XML file each."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

import polars as pl

from components.errors import SchemaError
from components.ingest.files import RawFile, open_text
from components.ingest.heads import Head
from components.writing.ingest.config import WritingIngestConfig, WritingMapping
from components.writing.ingest.layouts.layout import WritingLayout
from components.writing.ingest.responses import Batch, PromptFacts, read_responses

LONGEST_FILE_BYTES = 64 << 20
BEST_FIRST = ("BEST", "GOOD", "MINIMAL", "KEYWORD")
"""Categories of reference answers."""
COLUMNS = ("id", "student", "question", "text", "accuracy")
_BEETLE = re.compile(r"\.(sbj[^-.]+)-")
_SCIENTSBANK = re.compile(r"([^.]+)\.[^.]+\.(.+)\.[^.]+")


class SemEval(WritingLayout):
    """As in SemEval-2013 task 7 (Beetle and SciEntsBank), after Dzikovska et al. 2013.

    The student is told from the answer's id: `FaultFinding-Q.sbj3-l1.qa209` is of `sbj3`, and `ME.65a.101.1` of student
    101 of the module ME. An id of another form is a student of its own. `accuracy` is the grade; where its labels are
    others than `correct`, `contradictory` and `incorrect`, the configuration names them.
    """

    name = "semeval"
    labels = ("incorrect", "contradictory", "correct")

    def recognise(self, head: Head) -> bool:
        """Return whether the file begins as XML with a question."""
        start = " ".join(head.lines[:5])
        return head.format == "text" and start.lstrip().startswith("<") and "<question " in start

    def read(self, file: RawFile, head: Head, config: WritingIngestConfig) -> Iterator[Batch]:
        """Yield the answers of the file's question.

        Raises:
            SchemaError: it is no XML, declares entities, or is no question.
        """
        question = _parsed(file)
        name = question.get("id")
        if question.tag != "question" or not name:
            raise SchemaError(
                f"{file.name} is XML, but its outermost element is no question with an id; expected a file as in "
                "SemEval-2013 task 7. Leave it out."
            )
        answers = list(question.iter("studentAnswer"))
        ids = [answer.get("id") for answer in answers]
        cells = {
            "id": ids,
            "student": [None if one is None else student_of(one) for one in ids],
            "question": [name] * len(answers),
            "text": ["".join(answer.itertext()) for answer in answers],
            "accuracy": [answer.get("accuracy") for answer in answers],
        }
        frame = pl.DataFrame(cells, schema=dict.fromkeys(COLUMNS, pl.String)).with_columns(
            pl.int_range(1, len(answers) + 1, dtype=pl.UInt32).alias("row")
        )
        mapping = WritingMapping(text="text", response="id", student="student", prompt="question", score="accuracy")
        typed = read_responses(frame, mapping, {}, file, config.labels or self.labels, config)
        yield Batch(
            responses=typed.responses,
            quarantine=typed.quarantine,
            groups=typed.groups,
            ids=typed.ids,
            rows_in=frame.height,
            null_bytes=typed.null_bytes,
            prompts=(
                PromptFacts(
                    prompt=name.strip(),
                    text=_text(question.find("questionText")),
                    reference_answers=_references(question),
                ),
            ),
        )

    def source_column(self, target: str) -> str:
        """Return the published name."""
        return {"response": "id", "prompt": "question", "score": "accuracy"}.get(target, target)


def student_of(answer: str) -> str:
    """Return who gave an answer, told from the answer's id; the id itself where it does not tell."""
    if (found := _BEETLE.search(answer)) is not None:
        return found[1]
    if (found := _SCIENTSBANK.fullmatch(answer)) is not None:
        return f"{found[1]}.{found[2]}"
    return answer


def _parsed(file: RawFile) -> ElementTree.Element:
    with open_text(file) as stream:
        body = stream.read(LONGEST_FILE_BYTES + 1)
    if len(body) > LONGEST_FILE_BYTES:
        raise SchemaError(
            f"{file.name} is XML of more than {LONGEST_FILE_BYTES >> 20} MiB; expected one question per file. Divide "
            "it."
        )
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:  # entities may grow without bound, or name other files
        raise SchemaError(
            f"{file.name} is XML with a document type; expected a question without one. Take the <!DOCTYPE ...> out."
        )
    source = re.sub(r"^\s*<\?xml[^>]*\?>", "", body.decode()) if file.has_mark and _is_utf8(body) else body
    try:
        return ElementTree.fromstring(source)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # its message may quote the text
        where = f" at line {error.position[0]}" if isinstance(error, ElementTree.ParseError) else ""
        raise SchemaError(
            f"{file.name} is no XML that can be read{where}: it is cut short or damaged. Have it sent again."
        ) from None


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(element: ElementTree.Element | None) -> str | None:
    text = "" if element is None else "".join(element.itertext()).strip()
    return text or None


def _references(question: ElementTree.Element) -> tuple[str, ...]:
    """Return the reference answers, the best first."""
    found = []
    for element in question.iter("referenceAnswer"):
        text, category = _text(element), element.get("category", "")
        if text is not None:
            found.append((BEST_FIRST.index(category) if category in BEST_FIRST else len(BEST_FIRST), text))
    return tuple(dict.fromkeys(text for _, text in sorted(found, key=lambda pair: pair[0])))
