"""Valid tables of scored writing to start from: a few responses with planted ids and texts that must never be shown."""

from random import Random

from components.ingest.config import IngestConfig
from components.writing.ingest.config import Rubric, WritingIngestConfig, WritingMapping
from tests.components.ingest.fuzzing.bases import CANARY, Table

TEXTS = (
    f"I think {CANARY} is right", f'He said "{CANARY}", and left', f"One\n\n{CANARY}, two\nthree", f"<p>{CANARY}</p>",
    f"{CANARY} \u05e9\u05dc\u05d5\u05dd", f"{CANARY} \U0001f600", f"it\u00e2\u20ac\u2122s {CANARY}",
    f"  {CANARY}; yes ",
)  # fmt: skip


def _limit(random: Random) -> float:
    return random.choice((1.0, 1.0, 1.0, 0.05))


def native(random: Random) -> tuple[Table, WritingIngestConfig]:
    """Return a table in our own layout, with some of the columns that may be left out."""
    by_rater = random.random() < 0.2
    names = ["response", "prompt", "text", "score"]
    names += ["rater"] if by_rater else [c for c in ("rater_1", "rater_2") if random.random() < 0.9]
    names += [c for c in ("student", "trait_style", "split", "group_g") if random.random() < 0.6]
    rows = []
    for number in range(random.randint(1, 8)):
        cells = {
            "response": f"{CANARY}-r{number // (2 if by_rater else 1)}",
            "prompt": random.choice("12"),
            "text": TEXTS[number // 2 % len(TEXTS)] if by_rater else random.choice(TEXTS),
            "score": str(random.randint(0, 3)),
            "rater": f"{CANARY}-{'ab'[number % 2]}",
            "rater_1": str(random.randint(0, 3)),
            "rater_2": random.choice(("", "2")),
            "student": f"{CANARY}-s{random.randint(1, 3)}",
            "trait_style": random.choice(("", "1", "1.5")),
            "split": random.choice(("train", "Test", "dev", "")),
            "group_g": random.choice(("north", "south")),
        }
        rows.append([cells[name] for name in names])
    config = WritingIngestConfig(
        quarantine_limit=_limit(random),
        quoting="standard",
        encoding=random.choice(("utf-8", "utf-8", "cp1252")),
        fallback=random.choice(("cp1252", "none")),
        needs_scores=random.random() < 0.8,
        resolve=random.choice(("rounded_mean", "mean", "sum", "first")),
        prompts={"1": Rubric(low=0, high=3)} if random.random() < 0.5 else {},
    )
    return Table(rows=[names, *rows], config=IngestConfig()), config


def mapped(random: Random) -> tuple[Table, WritingIngestConfig]:
    """Return somebody else's table with its mapping: other names, words for grades, decimal commas."""
    has_labels = random.random() < 0.5
    mapping = WritingMapping(
        response="Nr", student="Kind", prompt="Frage", text="Antwort", score="Note", raters=("Zweit",),
        decimal_comma=not has_labels, traits={"style": "Stil"}, split="Teil",
        split_values={"0": "test", "1": "valid"}, groups=("Schule",),
    )  # fmt: skip
    grades = ("falsch", "Teils", "RICHTIG") if has_labels else ("0,5", "1", "2,5")
    rows = [
        [
            f"{CANARY}-{n}", f"{CANARY}-s{n % 3}", random.choice(("F 1", "F 2")), random.choice(TEXTS),
            random.choice(grades), random.choice(grades), "1,5", str(n % 4), random.choice(("Nord", "Süd")),
        ]
        for n in range(random.randint(1, 8))
    ]  # fmt: skip
    header = ["Nr", "Kind", "Frage", "Antwort", "Note", "Zweit", "Stil", "Teil", "Schule"]
    config = WritingIngestConfig(
        mapping=mapping,
        labels=("falsch", "teils", "richtig") if has_labels else (),
        quarantine_limit=_limit(random),
        quoting="standard",
    )
    return Table(rows=[header, *rows], config=IngestConfig(), delimiter=";"), config


def short_answers(random: Random) -> tuple[Table, WritingIngestConfig]:
    """Return a table in the layout `asap_sas`."""
    rows = [
        [f"{n}", str(random.randint(1, 10)), str(random.randint(0, 2)), random.choice(("", "1")), random.choice(TEXTS)]
        for n in range(random.randint(1, 8))
    ]
    header = ["Id", "EssaySet", "Score1", "Score2", "EssayText"]
    config = WritingIngestConfig(quarantine_limit=_limit(random), quoting="standard")
    return Table(rows=[header, *rows], config=IngestConfig()), config


def base(random: Random) -> tuple[Table, WritingIngestConfig]:
    """Return a valid table in a layout drawn at random."""
    return random.choice((native, native, native, mapped, short_answers))(random)


def question(random: Random) -> str:
    """Return a question as XML."""
    answers = "".join(
        f'    <studentAnswer id="ME.65a.{CANARY}{n}.1" accuracy="{random.choice(("correct", "incorrect"))}">'
        f"The {CANARY} will &lt;still&gt; light.</studentAnswer>\n"
        for n in range(random.randint(0, 6))
    )
    return (
        '<?xml version="1.0"?>\n<question id="ME_65a" module="ME">\n  <questionText>What will happen?</questionText>\n'
        '  <referenceAnswers>\n    <referenceAnswer id="a1">They stay lit.</referenceAnswer>\n  </referenceAnswers>\n'
        f"  <studentAnswers>\n{answers}  </studentAnswers>\n</question>\n"
    )
