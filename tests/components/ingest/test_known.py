"""Known layouts of any kind of data: the first that recognises a file has it, and names choose one."""

import pytest

from components.errors import ConfigError
from components.ingest.heads import Head
from components.ingest.known import Known
from components.ingest.recognition import LAYOUTS


def head_of(*columns: str) -> Head:
    return Head(format="parquet", columns=columns, delimiter="", lines=())


def test_the_first_layout_that_recognises_a_file_has_it() -> None:
    layout = LAYOUTS.found(head_of("student", "item", "correct"))
    assert layout is not None
    assert layout.name == "homeroom"
    both = Known(layouts=LAYOUTS.layouts[::-1], how_to_map="").found(head_of("student", "item", "correct"))
    assert both is not None
    assert both.name == "homeroom"
    assert LAYOUTS.found(head_of("a", "b")) is None


def test_a_layout_is_chosen_by_its_name_and_others_are_listed() -> None:
    assert LAYOUTS.named("exam_time").name == "exam_time"
    with pytest.raises(ConfigError, match=r"ingest.layout = 'exam' is no layout; known are auto, homeroom, .*, mapped"):
        LAYOUTS.named("exam")
