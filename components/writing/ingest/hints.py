"""Hints: for every reason of quarantine, what was expected and what to do."""

from components.ingest.faults import DUPLICATE
from components.ingest.quarantine import HINTS as OF_TABLES

_OF_TABLES = ("wrong_number_of_cells", "not_utf8", "not_in_the_encoding", "not_json")

HINTS = {
    **{reason: OF_TABLES[reason] for reason in _OF_TABLES},
    "quotes_do_not_pair": 'expected quotes around whole cells and "" inside; have the file exported again, or set '
    'ingest.quoting = "none" where quotes are characters like others',
    DUPLICATE: "expected each row once; have the file exported again",
    "response_missing": "expected the response's id; have the ids delivered, or drop response from the mapping",
    "student_missing": "expected the student's id; have the ids delivered, or drop student from the mapping",
    "prompt_missing": "expected the prompt's id; check the mapping's prompt",
    "rater_missing": "expected who gave the score; have it delivered, or drop rater from the mapping",
    "name_too_long": "expected an id of at most 1,000 bytes; check that the mapping names no column of free text",
    "character_lost": "expected ids without the mark of a lost character (U+FFFD), as different ids may have become "
    "one; have the file exported again as UTF-8",
    "text_missing": "expected what the student wrote; leave empty answers out, as the service answers them by itself",
    "text_over_the_limit": "expected at most ingest.longest_text_chars characters; raise it, or split what was joined",
    "score_missing": "expected a score in every row; leave out what was not scored, or set ingest.needs_scores = false "
    "for writing that is to be graded",
    "score_not_a_number": "expected a number of at most a million; set the mapping's decimal_comma for 3,5, or "
    'ingest.labels for names of grades, e.g. labels = ["wrong", "right"]',
    "label_unknown": "expected one of ingest.labels; name all of them, the lowest first",
    "rater_score_not_a_number": "expected a number of at most a million or nothing; check the mapping's raters",
    "trait_not_a_number": "expected a number of at most a million or nothing; check the mapping's traits",
    "score_outside_rubric": "expected a score from low to high of the prompt's rubric; correct ingest.prompts or the "
    "source",
    "score_between_points": "expected low, low + step and so on up to high; correct step in ingest.prompts, or the "
    "source",
    "trait_outside_rubric": "expected a score from low to high of the trait; correct ingest.prompts or the source",
    "split_unknown": "expected train, valid or test; say what other values mean in the mapping's split_values",
    "split_differs_from_file": "expected the split that the file was given for; drop split from the mapping, or give "
    "the file as training data",
    "rows_of_one_response_disagree": "expected one row per response, or one per response and rater with the same text; "
    "map the column that names the rater, or a column with an id of each response's own",
    "response_also_in_valid_file": "expected responses of validation files in these alone; take them out of the others",
    "override_prompt_unknown": "expected an override of a prompt that responses answer or ingest.prompts names; give "
    "the overrides of this application, or the prompt's rubric",
    "response_also_in_test_file": "expected responses of test files in these alone; take them out of the others",
}
"""Reason -> what is expected and what to do."""
