"""Configurations: strict reading, every problem named, overrides as typed on a command line, one digest."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import as_plain, config_class, config_digest, make_config, read_config
from components.errors import ConfigError


@config_class
class Train:
    max_epochs: int = 8
    learning_rate: float = 0.001
    name: str = "lstm"
    resume: bool = True
    sizes: tuple[int, ...] = (1, 2)
    tags: tuple[str, ...] = ()
    kind: Literal["lstm", "attention"] = "lstm"
    limit: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.max_epochs < 1:
            raise ValueError(f"max_epochs is {self.max_epochs}; expected at least 1. Raise it.")


@config_class
class Ingest:
    pattern: str
    train: Train = Train()


@config_class
class Rain:
    kind: Literal["rain"] = "rain"
    litres: int = 1


@config_class
class Snow:
    kind: Literal["snow"]
    flakes: int = 2
    sub: Ingest | None = None


@config_class
class Weather:
    today: Rain | Snow = Rain()
    week: tuple[Rain | Snow, ...] = ()


@config_class
class Whole:
    ingest: Ingest
    train: Train = Train()
    seed: int = 0
    extra: Train | None = None
    several: tuple[Ingest, ...] = ()


MINIMAL: dict[str, Any] = {"ingest": {"pattern": "*.csv"}}


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(text)
    return path


def test_toml_is_read_into_nested_frozen_values(tmp_path: Path) -> None:
    found = read_config(
        Whole,
        toml(
            tmp_path,
            """
            seed = 3
            [ingest]
            pattern = "logs/*.parquet"
            [ingest.train]
            max_epochs = 2
            [train]
            learning_rate = 1      # a whole number is a float
            sizes = [64, 128]
            resume = false
            kind = "attention"
            limit = 5
            """,
        ),
    )
    assert found == Whole(
        ingest=Ingest(pattern="logs/*.parquet", train=Train(max_epochs=2)),
        train=Train(learning_rate=1.0, sizes=(64, 128), resume=False, kind="attention", limit=5),
        seed=3,
    )
    assert isinstance(found.train.learning_rate, float)
    assert isinstance(found.train.sizes, tuple)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.seed = 4  # type: ignore[misc]


def test_every_problem_is_listed_with_its_path() -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(
            Whole,
            {
                "ingest": {"patern": "x", "train": {"max_epochs": 0}},
                "train": {"learning_rate": "fast", "max_epoch": 3, "sizes": [1, "two"], "resume": 1, "kind": "rnn"},
                "seed": 1.5,
                "sed": 1,
            },
            source="small.toml",
        )
    text = str(caught.value)
    assert text.startswith("small.toml has 10 problem(s):")
    for part in (
        "ingest.pattern: missing; give it a value.",
        "ingest.patern: unknown key; did you mean 'pattern'?",
        "ingest.train: max_epochs is 0; expected at least 1. Raise it.",
        "train.learning_rate = 'fast'",
        "train.max_epoch: unknown key; did you mean 'max_epochs'?",
        "train.sizes.1 = 'two'",
        "train.resume = 1",
        "train.kind = 'rnn': expected 'lstm' or 'attention'",
        "seed = 1.5",
        "sed: unknown key; did you mean 'seed'?",
    ):
        assert part in text


def test_a_key_like_no_other_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"train.zzz: unknown key; known here: max_epochs, learning_rate, name"):
        make_config(Whole, {**MINIMAL, "train": {"zzz": 1}})


@pytest.mark.parametrize(("value", "type_name"), [(True, "max_epochs"), ("3", "max_epochs"), (3, "name"), (3, "tags")])
def test_types_are_not_converted(value: object, type_name: str) -> None:
    with pytest.raises(ConfigError, match=f"{type_name} = "):
        make_config(Train, {type_name: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_have_no_digest_are_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=r"learning_rate = .*finite number"):
        make_config(Train, {"learning_rate": value})


@pytest.mark.parametrize(
    ("override", "field", "expected"),
    [
        ("train.max_epochs=3", "max_epochs", 3),
        ("train.max_epochs = 3", "max_epochs", 3),
        ("train.learning_rate=1e-4", "learning_rate", 1e-4),
        ("train.learning_rate=2", "learning_rate", 2.0),
        ("train.name=gru", "name", "gru"),
        ("train.name='12'", "name", "12"),
        ('train.name="with spaces = and signs"', "name", "with spaces = and signs"),
        ("train.name=with spaces", "name", "with spaces"),
        ('train.name=""', "name", ""),
        ("train.name=none", "name", "none"),
        ("train.name=s3://bucket/a.b", "name", "s3://bucket/a.b"),
        ("train.resume=false", "resume", False),
        ("train.sizes=[3, 4]", "sizes", (3, 4)),
        ("train.sizes=[]", "sizes", ()),
        ("train.tags=['a', \"b\"]", "tags", ("a", "b")),
        ("train.kind=attention", "kind", "attention"),
    ],
)
def test_overrides_are_read_as_toml_and_bare_words_as_text(override: str, field: str, expected: object) -> None:
    found = getattr(make_config(Whole, MINIMAL, [override]).train, field)
    assert found == expected
    assert type(found) is type(expected)


def test_overrides_reach_deep_come_last_and_leave_the_given_values_alone() -> None:
    values = {"ingest": {"pattern": "x", "train": {"max_epochs": 2}}}
    found = make_config(
        Whole, values, ["ingest.train.max_epochs=3", "ingest.train.name=a", "ingest.train.name=b", "seed=9"]
    )
    assert (found.ingest.train.max_epochs, found.ingest.train.name, found.seed) == (3, "b", 9)
    assert values == {"ingest": {"pattern": "x", "train": {"max_epochs": 2}}}


def test_all_overrides_that_make_no_sense_are_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(Whole, {**MINIMAL, "seed": 1}, ["train.max_epochs", "=3", "seed.x=1", "train.name=ok"])
    text = str(caught.value)
    assert "3 override(s)" in text
    assert "--set 'train.max_epochs' is no assignment. Write it as section.key=value" in text
    assert "--set '=3' is no assignment" in text
    assert "--set 'seed.x=1': 'seed' is a value, not a section" in text


def test_a_wrong_override_is_named_by_its_path() -> None:
    with pytest.raises(ConfigError, match=r"train.max_epoch: unknown key; did you mean 'max_epochs'"):
        make_config(Whole, MINIMAL, ["train.max_epoch=3"])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"extra": {"max_epoch": 1}}, "extra.max_epoch: unknown key; did you mean 'max_epochs'?"),
        ({"extra": {"zzz": 1}}, "extra.zzz: unknown key; known here: max_epochs, learning_rate"),
        ({"several": [{"pattern": "x", "patern": "y"}]}, "several.0.patern: unknown key; did you mean 'pattern'?"),
    ],
)
def test_known_names_are_told_below_optional_sections_and_lists(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(Whole, {**MINIMAL, **values})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.learning_rate=fast", "train.learning_rate = 'fast': "),
        ("train.max_epochs=0", "train: max_epochs is 0; expected at least 1"),
        ("train.sizes=[1, 'two']", "train.sizes.1 = 'two'"),
        ("extra.max_epoch=3", "extra.max_epoch: unknown key; did you mean 'max_epochs'?"),
    ],
)
def test_the_set_and_not_the_file_is_blamed_for_what_was_set(tmp_path: Path, override: str, said: str) -> None:
    path = toml(tmp_path, 'seed = 1.5\n[ingest]\npattern = "x"\n')
    with pytest.raises(ConfigError) as caught:
        read_config(Whole, path, ["train.name=gru", override])
    first, *lines = str(caught.value).splitlines()
    assert first == "small.toml with --set has 2 problem(s):"
    own = next(line for line in lines if said in line)
    assert own.endswith(f" (given by --set {override.partition('=')[0]}: correct it there, or leave it out)")
    assert "--set" not in next(line for line in lines if "seed = 1.5" in line)


def test_an_override_without_a_value_is_refused() -> None:
    for text in ("train.limit=", "train.name= "):
        with pytest.raises(ConfigError, match=r"gives no value. Write one behind the sign, .* or none to unset"):
            make_config(Whole, MINIMAL, [text])


def test_none_unsets_what_may_be_unset_and_nothing_else() -> None:
    values = {**MINIMAL, "train": {"limit": 3, "label": "a"}, "extra": {"max_epochs": 2}}
    found = make_config(Whole, values, ["train.limit=none", "train.label=none", "extra=none"])
    assert (found.train.limit, found.train.label, found.extra) == (None, None, None)
    assert make_config(Whole, values, ["train.label='none'"]).train.label == "none"
    for text in ("train.max_epochs=none", "train=none", "train.sizes=none", "train.kind=none"):
        with pytest.raises(ConfigError, match=r"cannot be unset. Give it a value, or leave the --set out"):
            make_config(Whole, values, [text])


def test_an_unset_section_is_filled_by_overrides() -> None:
    found = make_config(Whole, {**MINIMAL, "extra": None}, ["extra.max_epochs=3"])
    assert found.extra == Train(max_epochs=3)


def test_one_of_several_classes_is_chosen_by_its_literal() -> None:
    found = make_config(Weather, {"week": [{"kind": "snow", "flakes": 5}, {"litres": 3}]}, ["today.kind=snow"])
    assert found == Weather(today=Snow(kind="snow"), week=(Snow(kind="snow", flakes=5), Rain(litres=3)))
    assert make_config(Weather, as_plain(found)) == found


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"today": {"kind": "hail"}}, "today.kind = 'hail': expected 'rain' or 'snow'"),
        ({"today": {"flakes": 1}}, "today.flakes: unknown key; known here: kind, litres."),
        ({"today": {"kind": "snow", "flake": 1}}, "today.flake: unknown key; did you mean 'flakes'?"),
        ({"today": {"kind": "snow", "sub": {"pattern": 1}}}, "today.sub.pattern = 1: "),
        ({"week": [{}, {"kind": "snow", "litres": 1}]}, "week.1.litres: unknown key; known here: kind, flakes, sub."),
        ({"today": 3}, "today = 3: "),
    ],
)
def test_only_the_chosen_class_says_what_is_wrong(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(Weather, values)
    assert "has 1 problem(s)" in str(caught.value)
    assert said in str(caught.value)


def test_files_that_cannot_be_read_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No configuration file .*none.toml. Give a name"):
        read_config(Whole, tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"small.toml is no valid TOML: .*line 1.*: seed = = 3. Correct that place"):
        read_config(Whole, toml(tmp_path, "seed = = 3"))
    (tmp_path / "small.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match=r"small.toml is no UTF-8 .byte 8."):
        read_config(Whole, tmp_path / "small.toml")


TRAINS = st.builds(
    Train,
    max_epochs=st.integers(1, 2**53),
    learning_rate=st.floats(allow_nan=False, allow_infinity=False),
    name=st.text(),
    resume=st.booleans(),
    sizes=st.lists(st.integers(-(2**53), 2**53), max_size=3).map(tuple),
    tags=st.lists(st.text(), max_size=3).map(tuple),
    kind=st.sampled_from(["lstm", "attention"]),
    limit=st.none() | st.integers(-(2**53), 2**53),
    label=st.none() | st.text(),
)


@given(st.builds(Whole, ingest=st.builds(Ingest, pattern=st.text(), train=TRAINS), train=TRAINS, seed=st.integers()))
def test_any_configuration_comes_back_from_its_plain_values(config: Whole) -> None:
    plain = json.loads(json.dumps(as_plain(config)))
    again = make_config(Whole, plain)
    assert again == config
    assert config_digest(again) == config_digest(config)


def test_the_digest_is_of_the_resolved_values() -> None:
    written_out = make_config(Whole, {**MINIMAL, "seed": 0, "train": {"learning_rate": 0.001}})
    assert config_digest(written_out) == config_digest(make_config(Whole, MINIMAL))
    assert config_digest(make_config(Whole, MINIMAL, ["train.learning_rate=1"])) == config_digest(
        make_config(Whole, MINIMAL, ["train.learning_rate=1.0"])
    )
    assert config_digest(make_config(Whole, MINIMAL, ["seed=1"])) != config_digest(written_out)


def test_the_digest_is_of_the_canonical_text_so_that_no_release_changes_it_unnoticed() -> None:
    text = (
        '{"kind":"lstm","label":null,"learning_rate":0.001,"limit":null,"max_epochs":8,"name":"lstm","resume":true,'
        '"sizes":[1,2],"tags":["é"]}'
    )
    assert config_digest(Train(tags=("é",))) == hashlib.sha256(text.encode()).hexdigest()


def test_only_a_configuration_object_has_plain_values() -> None:
    for wrong in (Train, {"a": 1}, 3):
        with pytest.raises(TypeError, match="is no configuration"):
            as_plain(wrong)
