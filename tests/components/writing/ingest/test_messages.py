"""What ingest says: a remedy for every reason, and no text, id or name anywhere."""

import re
from pathlib import Path

import components.writing.ingest
from components.writing.ingest.hints import HINTS


def test_every_reason_says_what_is_expected_and_what_to_do() -> None:
    folder = Path(components.writing.ingest.__file__).parent
    source = "\n".join(path.read_text() for path in folder.rglob("*.py") if path.name != "hints.py")
    plain = set(re.findall(r'reason="([a-z][a-z_0-9]+)"', source))
    made = {f"{name}_missing" for name in ("response", "student", "prompt", "rater")}
    chosen = {"label_unknown", "score_not_a_number", "rater_score_not_a_number", "trait_not_a_number"}
    assert all(reason in source for reason in chosen)
    assert len(plain) >= 8
    of_files = {"response_also_in_valid_file", "response_also_in_test_file", "rows_of_one_response_disagree"}
    assert plain | made | chosen | of_files <= set(HINTS)
    assert all(hint.startswith("expected ") and "; " in hint for hint in HINTS.values())
