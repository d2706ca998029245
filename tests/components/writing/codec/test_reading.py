"""What of a text counts."""

from components.writing.codec.reading import passage_hashes, read

ONE = "the cat sat on the mat and looked out of the window at a bird."


def test_a_passage_met_again_counts_once() -> None:
    reading = read(f"{ONE} {ONE}")
    assert reading.words == read(ONE).words
    assert reading.written == 32
    assert reading.repeated_share == 0.5
    assert reading.copied_share == 0.0


def test_a_short_phrase_may_come_again() -> None:
    text = "in my opinion it is right. in my opinion it is good."
    assert read(text).repeated_share == 0.0


def test_what_is_taken_from_the_prompt_does_not_count() -> None:
    reading = read(f"I think so. {ONE}", passage_hashes(ONE))
    assert reading.words == ["I", "think", "so", "."]
    assert reading.copied_share == 16 / 20
    assert reading.repeated_share == 0.0


def test_words_and_marks() -> None:
    reading = read("Yes, a yes.")
    assert reading.is_word_T.tolist() == [True, False, True, True, False]
    assert reading.word_count == 3
    assert sorted(reading.times_S.tolist()) == [1, 2]


def test_an_empty_text() -> None:
    reading = read(" \n ")
    assert (reading.written, reading.word_count, len(reading.distinct_S)) == (0, 0, 0)
