"""docs/how-to/leakage.md: its configurations are the defaults, its findings those that there are, its numbers right."""

import dataclasses
import math
import re
import tomllib

from components.config import make_config
from components.leakage import copies, order, protocol, sequences, students
from components.leakage.config import LeakageConfig
from components.writing.leakage import responses
from components.writing.leakage.config import WritingLeakageConfig
from tests.docs.pages import Page

PAGE = Page.named("leakage")


def test_its_configurations_are_the_defaults_and_whole() -> None:
    blocks = [tomllib.loads(block)["leakage"] for block in re.findall(r"```toml\n(.*?)```", PAGE.text, re.S)]
    for kind, block in zip((LeakageConfig, WritingLeakageConfig), blocks, strict=True):
        assert make_config(kind, block) == kind()
        assert set(block) == {field.name for field in dataclasses.fields(kind)}


def test_every_finding_is_explained() -> None:
    named = {students.MEASURE, order.ORDER, order.SIDE, sequences.COPIED, protocol.MEASURE}
    assert {*named, responses.TWICE, responses.SHARED} == set(re.findall(r"^\| `(\w+)`", PAGE.text, re.M))


def test_its_bits_are_right() -> None:
    assert "80 answers of which 24 are wrong say 67 bits, 20 of which 4\nare wrong say 12" in PAGE.text
    for answers, wrong, bits in ((80, 24, 67), (20, 4, 12)):
        assert round(math.log2(math.comb(answers, wrong))) == bits
        assert round(copies.information_bits(answers, answers - wrong)) == bits
