"""docs/how-to/own-writing.md: its configuration is read, its example runs, and its tables are the code's."""

import re
import tomllib
from pathlib import Path

from components.config import config_class, make_config
from components.writing.ingest.config import WritingIngestConfig
from components.writing.ingest.hints import HINTS
from tests.components.writing.ingest.running import ingest_files
from tests.docs.pages import Page

PAGE = Page.named("own-writing")


@config_class
class Whole:
    """A configuration with the section."""

    ingest: WritingIngestConfig


def test_the_configuration_reads_the_table_that_it_is_for(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.text, re.S)
    config = make_config(Whole, tomllib.loads(block)).ingest
    body = "Nr;Kind;Aufgabe;Antwort;Punkte;Erst;Zweit;Stil;Schulart\n1;k1;A1;Zu Fuß;4,5;4;5;2;A\n2;k2;B;Bus;3;3;3;;A\n"
    outcome = ingest_files(tmp_path, {"a.csv": body}, config)
    assert outcome.by_row["score"].to_list() == [4.5, 3.0]
    assert outcome.prompts["A1"]["text"] == "Beschreibe deinen Schulweg."
    assert outcome.prompts["B"]["high"] == 3


def test_the_example_runs(tmp_path: Path) -> None:
    PAGE.run_all()
    (example,) = PAGE.examples().values()
    example(tmp_path)


def test_the_keys_and_reasons_on_the_page_are_the_codes() -> None:
    tables = PAGE.text.split("| key | when |")[1]
    keys = re.findall(r"^\| `([a-z_]+)` \|", tables, re.M)
    assert len(keys) == 8
    assert set(keys) <= set(WritingIngestConfig.__dataclass_fields__)
    reasons = re.findall(r"`([a-z_]+)`", PAGE.text.split("| what | becomes |")[1].split("Prompts and groups")[0])
    assert len(reasons) == 10
    assert set(reasons) <= set(HINTS)
