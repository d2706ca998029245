"""What the service says in words: one table, which a teacher can edit.

An edited sentence goes into the configuration of preprocessing (`sentences`), and from there with the codec into a
release. Braces are filled in; a sentence need not use all that it may: `points` everywhere below `feature_`, `words`
and `passage`; `words` in `words_`; nothing elsewhere.
"""

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    # Why there is no score.
    "empty": "There is no text to grade.",
    "too_short": "The text is too short to grade: responses that were graded for this prompt are longer.",
    "copied_prompt": "Most of the text is copied from the prompt.",
    "not_the_language": "The text is not in the language of the responses that the grader learned from.",
    "gibberish": "The text does not read as sentences of a language.",
    "off_prompt": "The text does not seem to respond to this prompt.",
    "outside_training": "The text is unlike every response that the grader learned from; a person should read it.",
    # What moved the score, against the usual response to the prompt.
    "feature_length_above": "The response is longer than is usual here{moved}.",
    "feature_length_below": "The response is shorter than is usual here{moved}.",
    "feature_word length_above": "Its words are longer than is usual here{moved}.",
    "feature_word length_below": "Its words are shorter than is usual here{moved}.",
    "feature_vocabulary_above": "It uses more different words than is usual here{moved}.",
    "feature_vocabulary_below": "It uses fewer different words than is usual here{moved}.",
    "feature_sentences_above": "Its sentences are longer than is usual here{moved}.",
    "feature_sentences_below": "Its sentences are shorter than is usual here{moved}.",
    "feature_punctuation_above": "It has more commas and other marks than is usual here{moved}.",
    "feature_punctuation_below": "It has fewer commas and other marks than is usual here{moved}.",
    "feature_names_above": "It has more names and numbers than is usual here{moved}.",
    "feature_names_below": "It has fewer names and numbers than is usual here{moved}.",
    "feature_reference_above": "It has more of the reference answer than is usual here{moved}.",
    "feature_reference_below": "It has less of the reference answer than is usual here{moved}.",
    "feature_question_above": "It repeats more of the question's words than is usual here{moved}.",
    "feature_question_below": "It repeats fewer of the question's words than is usual here{moved}.",
    "words_up": "Among what raised the score are the words {words}{moved}.",
    "words_down": "Among what lowered the score are the words {words}{moved}.",
    "passage_up": "The marked passage raises the score{moved}: without it the score would be lower.",
    "passage_down": "The marked passage lowers the score{moved}: without it the score would be higher.",
    "repeated": "Some passages occur twice or are taken from the prompt; they count once or not at all.",
    # Filled in for `moved`.
    "moved_up": ", which raises the score by {points} points",
    "moved_down": ", which lowers the score by {points} points",
    "moved_passage": " by {points} points",
}


def checked(edited: Mapping[str, str]) -> dict[str, str]:
    """Return edited sentences.

    Raises:
        ValueError: one has a name that is not in `SENTENCES`, or braces that cannot be filled in.
    """
    for name, sentence in edited.items():
        if name not in SENTENCES:
            raise ValueError(f"No sentence is called {name!r}; known are: {', '.join(SENTENCES)}.")
        try:
            sentence.format(points="1", words="a", moved="")
        except (KeyError, IndexError, ValueError):
            raise ValueError(
                f"The sentence {name!r} has braces that nothing fills; expected only {{points}}, {{words}} or "
                "{moved}. Double a brace that is meant as one."
            ) from None
    return dict(edited)
