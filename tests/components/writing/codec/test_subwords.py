"""Numbers of subwords: against the library `tokenizers`, on awkward text, for both kinds and their settings."""

import json
import random
from functools import cache
from typing import Any

import pytest

from components.writing.codec.subwords import Subwords

tokenizers = pytest.importorskip("tokenizers")

CORPUS = [
    "The quick brown fox doesn't jump over the lazy dog; it's asleep, they've said.",
    "Computers help people learn about faraway places and talk online with other people.",
    "Café naïve résumé coöperate über Straße ΟΔΟΣ 日本語 текст in 1999 and 2024, 3.14!",
    "patience patiently patient librarian libraries library understanding understandable",
]
AWKWARD = [
    "",
    " ",
    "\n\t ",
    "a",
    "It's they'RE we'll I'd 'tis ''s '",
    "Hello   world\n\n\tnew  line ",
    "naïve café CAFÉ İstanbul ΟΔΟΣ ὈΔΥΣΣΕΎΣ ßtraße ǅ ﬁ",
    "日本語テキストと中文 字 mixed漢字text 豈 \U00020000\U0002b740",
    "emoji 😀😀 👩‍👩‍👧 flag 🇩🇪 \u200bzero\u200dwidth\ufeff\u00ad",
    "nul \x00 bell \x07 del \x7f next \x85 line \u2028 para \u2029 nbsp\u00a0thin\u2009 ideographic\u3000end",
    "[CLS] [SEP] [MASK] <s> </s> <mask> text that names special tokens",
    "עברית العربية हिन्दी ไทย \u202eright to left\u202c",
    "1234567890 ½ ² Ⅷ ٣ x2y 3rd",
    "!!!???...---___***$$$+++<<<>>>|||~~~```^^^",
    "\ufffd replacement \ue000 private",
    "supercalifragilisticexpialidocious" * 6,
    "a\u0301 e\u0301\u0323 combining \u0335 o\u0338",
    "\x1c\x1d\x1e\x1f separators",
    "\u201ccurly\u201d \u2018quotes\u2019 \u2013 dash \u2014 em \u2026 dots \u00abguillemets\u00bb",
]


@cache
def wordpiece(**settings: Any) -> Any:  # Any: the library has no types of its own
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(**settings)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=220, special_tokens=special, show_progress=False)
    made.train_from_iterator(CORPUS * 3, trainer)
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.encode_special_tokens = True
    return made


@cache
def byte_pairs(add_prefix_space: bool) -> Any:  # Any: as above
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<s>", "<pad>", "</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(CORPUS * 3, trainer)
    if add_prefix_space:
        made.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    made.encode_special_tokens = True
    return made


def ours(made: Any) -> Subwords:  # Any: as above
    found = Subwords.of_tokenizer(json.loads(made.to_str()))
    again = Subwords.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    return again


def random_texts() -> list[str]:
    """Return texts of characters from blocks that scripts in use have, in no order."""
    source = random.Random(5)
    blocks = [(0x20, 0x7F), (0xA0, 0x250), (0x370, 0x400), (0x400, 0x460), (0x4E00, 0x4F00), (0x2000, 0x2070)]
    return [
        "".join(
            chr(source.randrange(*source.choice(blocks))) if source.random() < 0.4 else source.choice("aeinorst '")
            for _ in range(60)
        )
        for _ in range(200)
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lowercase": False},
        {"lowercase": False, "strip_accents": True},
        {"strip_accents": False, "handle_chinese_chars": False},
        {"clean_text": False},
    ],
    ids=str,
)
def test_word_pieces_equal_those_of_the_library(settings: dict[str, bool]) -> None:
    made = wordpiece(**settings)
    tokenizer = ours(made)
    for text in AWKWARD + CORPUS + random_texts():
        assert tokenizer.ids(text, 10_000) == made.encode(text).ids, ascii(text)
    assert tokenizer.size == made.get_vocab_size()


@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_byte_pairs_equal_those_of_the_library(add_prefix_space: bool) -> None:
    made = byte_pairs(add_prefix_space)
    tokenizer = ours(made)
    for text in AWKWARD + CORPUS + random_texts():
        assert tokenizer.ids(text, 10_000) == made.encode(text).ids, ascii(text)
    assert tokenizer.size == made.get_vocab_size()


@pytest.mark.parametrize("make", [wordpiece, lambda: byte_pairs(True)])
def test_a_long_text_is_cut_as_the_library_cuts_it(make: Any) -> None:
    made = make()
    tokenizer = ours(made)
    text = " ".join(CORPUS)
    made.enable_truncation(12)
    try:
        assert tokenizer.ids(text, 12) == made.encode(text).ids
    finally:
        made.no_truncation()


def test_a_word_of_very_many_letters_takes_no_square_of_time() -> None:
    assert len(ours(byte_pairs(False)).ids("understanding" * 10_000, 1_000_000)) > 10_000


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (lambda: tokenizers.models.Unigram([("a", -1.0)]), "'Unigram'; expected WordPiece"),
        (lambda: tokenizers.models.WordLevel({"a": 0}, unk_token="a"), "'WordLevel'; expected WordPiece"),
        (lambda: tokenizers.models.BPE({"a": 0}, []), "pre_tokenizer None; expected ByteLevel"),
        (lambda: tokenizers.models.WordPiece({"a": 0}, unk_token="a"), "expected BertNormalizer and BertPreTokenizer"),
    ],
)
def test_another_kind_is_refused(model: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ours(tokenizers.Tokenizer(model()))


def test_a_setting_that_is_not_read_is_refused() -> None:
    value = json.loads(byte_pairs(False).to_str())
    with pytest.raises(ValueError, match="settings dropout, normalizer; expected ByteLevel"):
        Subwords.of_tokenizer(value | {"model": value["model"] | {"dropout": 0.1}, "normalizer": {"type": "NFC"}})
    added = {"id": 500, "content": "foo", "special": False}
    with pytest.raises(ValueError, match="adds 1 tokens that are not special"):
        Subwords.of_tokenizer(value | {"added_tokens": [added]})
    with pytest.raises(ValueError, match="post_processor is 'Odd'"):
        Subwords.of_tokenizer(value | {"post_processor": {"type": "Odd"}})
