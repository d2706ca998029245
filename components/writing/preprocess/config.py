"""Configuration of preprocessing scored writing."""

from dataclasses import field
from typing import Literal

from components.config import config_class
from components.mitigation.config import ReweighConfig
from components.writing.codec.sentences import checked


@config_class
class WritingPreprocessConfig:
    """How responses are split, and what a model is given of them."""

    valid_share: float = 0.2
    """Share of students held out to choose settings and to fit intervals, where the data declare no folds."""
    test_share: float = 0.2
    """Share of students held out for evaluation, where the data declare no folds."""
    split_by: Literal["student", "response"] = "student"
    """`response`: a student's responses may lie in different splits. For data whose published split is of answers."""
    split_seed: int = 0
    """Another seed gives another split of the same students."""
    inputs: Literal["grams", "tokens", "both", "subwords"] = "grams"
    """`grams`: n-grams with weights, for the kernel grader. `tokens`: numbers of words in order, for a neural one.
    `subwords`: those of a pre-trained encoder's tokenizer, for a transformer."""
    tokenizer: str = ""
    """For `subwords`: a folder with `tokenizer.json`, that of the encoder."""
    pool_prompts: bool = False
    """One model over all prompts: for many questions with few answers each, and for questions that have none yet (a
    question and its reference answers are then enough). Otherwise each prompt has a model of its own."""
    min_word_gram_count: int = 2
    """Words and pairs of words in fewer training responses to a prompt are left out."""
    min_character_gram_count: int = 3
    """Likewise of runs of three and four characters."""
    max_grams: int = 200_000
    """Of more n-grams of a kind, those in most responses are kept, for each prompt."""
    min_word_count: int = 2
    """Words in fewer training responses, over all prompts, count as unknown."""
    max_words: int = 50_000
    """Of more words, those in most responses are known."""
    max_tokens: int = 1_000
    """A neural grader reads so many tokens of a response."""
    common_words: int = 100
    """So many of the commonest words tell sentences from lists, and the language from others."""
    refused_share: float = 0.0015
    """Each check is set so that about this share of responses like those of training is refused."""
    min_train_responses: int = 20
    """A prompt with fewer cannot be learned; with `pool_prompts`, all prompts together."""
    min_valid_responses: int = 5
    """A prompt with fewer in the validation (or test) split cannot be judged; with `pool_prompts`, likewise."""
    reweigh: ReweighConfig = field(default_factory=ReweighConfig)
    """Weights of training responses by group of students, within each prompt; off by default."""
    sentences: dict[str, str] = field(default_factory=dict)
    """What the service says in other words than its own: see `components/writing/codec/sentences.py`."""

    def __post_init__(self) -> None:
        problems = []
        if not 0.0 < self.valid_share < 1.0 or not 0.0 < self.test_share < 1.0:
            problems.append(
                f"valid_share={self.valid_share} and test_share={self.test_share} must be between 0 and 1; "
                "use e.g. 0.2 and 0.2"
            )
        if self.valid_share + self.test_share >= 1.0:
            problems.append(
                f"valid_share + test_share = {self.valid_share + self.test_share} leaves no student to train on; "
                "lower one"
            )
        if not 0.0 <= self.refused_share < 0.5:
            problems.append(f"refused_share={self.refused_share} must be in [0, 0.5); use e.g. 0.0015")
        if not 1 <= self.max_tokens <= 100_000:
            problems.append(f"max_tokens={self.max_tokens} must be 1 to 100,000; use e.g. 1000")
        problems.extend(
            f"{name}={getattr(self, name)} must be at least 1"
            for name in (
                "min_word_gram_count",
                "min_character_gram_count",
                "max_grams",
                "min_word_count",
                "max_words",
                "common_words",
                "min_train_responses",
                "min_valid_responses",
            )
            if getattr(self, name) < 1
        )
        try:
            checked(self.sentences)
        except ValueError as error:
            problems.append(str(error).removesuffix("."))
        if problems:
            raise ValueError("; ".join(problems) + ".")
