"""docs/how-to/erase-a-student.md: its options, files and links are there."""

import re

from components.tombstones import path_of
from flows.__main__ import COMMANDS
from flows.cli.erase import erase
from tests.docs.pages import Page

PAGE = Page.named("erase-a-student")


def test_its_options_commands_and_links_are_there() -> None:
    options = {option for parameter in erase.params for option in parameter.opts}
    assert set(re.findall(r"(--[a-z][a-z-]+)", PAGE.text)) == {one for one in options if one.startswith("--")}
    assert set(re.findall(r"homeroom ([a-z]+)", PAGE.text)) <= set(COMMANDS)
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE.text):
        assert (PAGE.path.parent / link).is_file(), link


def test_the_record_and_the_count_that_it_names_are_the_codes() -> None:
    assert f"`records/{path_of('<key id>', '<digest>')}`" in PAGE.text
    assert "`rows_erased`" in PAGE.text
