"""Recognition: which layout of scored writing the files of a run are in."""

from components.ingest.heads import Head
from components.ingest.known import Known
from components.writing.ingest.config import WritingIngestConfig
from components.writing.ingest.layouts.asap_aes import AsapAes
from components.writing.ingest.layouts.asap_sas import AsapSas
from components.writing.ingest.layouts.homeroom import Homeroom
from components.writing.ingest.layouts.layout import WritingLayout
from components.writing.ingest.layouts.mapped import Mapped
from components.writing.ingest.layouts.semeval import SemEval

HOW_TO_MAP = (
    "Name the columns in the configuration, for example:\n"
    "    [ingest.mapping]\n"
    '    text = "Essay"\n'
    '    prompt = "Question"\n'
    '    score = "Points"\n'
    '    student = "Student ID"'
)
LAYOUTS: Known[WritingLayout] = Known(layouts=(Homeroom(), AsapAes(), AsapSas(), SemEval()), how_to_map=HOW_TO_MAP)


def is_found(config: WritingIngestConfig) -> bool:
    """Return whether the layout is found from the files, not named or mapped."""
    return config.mapping is None and config.layout == "auto"


def layout_if_known(config: WritingIngestConfig, head: Head) -> WritingLayout | None:
    """Return the layout of one file, or None where it is in none known here."""
    if config.mapping is not None:
        return Mapped(config.mapping)
    return LAYOUTS.found(head) if config.layout == "auto" else LAYOUTS.named(config.layout)
