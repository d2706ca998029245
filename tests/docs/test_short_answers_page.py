"""docs/how-to/short-answers.md: its configuration is read, and what it says of configurations is so."""

import re
import tomllib
from pathlib import Path

from components.app import load_application
from components.config import config_class, make_config
from components.writing.ingest.config import WritingIngestConfig
from tests.components.writing.ingest.running import ingest_files
from tests.docs.pages import Page

PAGE = Page.named("short-answers")


@config_class
class Whole:
    """A configuration with the section."""

    ingest: WritingIngestConfig


def test_the_configuration_reads_labels_and_brings_the_reference_answers(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.text, re.S)
    config = make_config(Whole, tomllib.loads(block)).ingest
    body = "prompt,text,score\nbulb,No current flows.,correct\nbulb,It is dark.,incorrect\n"
    outcome = ingest_files(tmp_path, {"a.csv": body}, config)
    assert outcome.by_row["score"].to_list() == [2.0, 0.0]
    assert len(outcome.prompts["bulb"]["reference_answers"]) == 2


def test_the_table_has_the_configurations_that_there_are() -> None:
    application = load_application("short_answer")
    table = PAGE.text.split("| configuration | when |")[1].split("\n\n")[0]
    cells = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", cells)) <= set(application.configurations())


def test_pooled_is_what_the_page_says() -> None:
    config = load_application("short_answer").configuration("pooled", ("preprocess.split_by=response",))
    assert config.preprocess.pool_prompts
    assert config.evaluate.pool_prompts
    assert config.preprocess.split_by == "response"
    assert config.train.model.decision == "label"
