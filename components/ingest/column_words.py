"""Words that columns are named with: they tell a header, which messages may show, from a person's data."""

import re
from collections.abc import Sequence, Set

COLUMN_WORDS = frozenset(
    """
    account age answer answered answers assignment attempt attempts category chapter child class classroom code
    concept content correct correctness count course created cohort curr country date datetime day district domain
    duration elapsed end essay essays event exam exercise finished first fold gender grade group groups guid hint
    hints id ids identifier incorrect index is item items kc kcs key label language last learner lesson level log mark
    marks max min minutes module ms name no number nr num opportunity order outcome page participant percent person
    points position problem problems prompt pupil quantity question questions quiz rater raters ratio region response
    responses result results right row rubric school score scores seconds sec section sequence session set sex skill
    skills source split standard start started state status step student students subject submitted submission success
    tag tags task tasks teacher term test text time timestamp times title trait traits topic topics total try type
    unit user username users uuid value values what when who year

    alter antwort antworten aufgabe aufgaben bewertung datum dauer ergebnis fach falsch frage geschlecht gruppe
    kind klasse kompetenz kurs lehrkraft note nummer person punkte reihenfolge richtig schule schüler schülerin schueler
    sekunden sprache thema themen uhrzeit versuch versuche zeit zeitpunkt zeitstempel

    élève eleve étudiant exercice réponse reponse juste résultat resultat matière durée duree essai école ecole classe
    niveau compétence competence

    alumno alumna estudiante pregunta respuesta correcta correcto ejercicio tarea tema fecha hora nota intento grupo
    escuela clase
    """.split()  # noqa: SIM905  # a list of quoted words would be three times as long
)
LEAST_SHARE = 0.2
"""Share of the columns that must be named with such words."""
LEAST = 2
"""And how many at least; a single column must be."""
BETWEEN = frozenset("a am at by der des for from im in la le of on par per the to und von zu".split())  # noqa: SIM905
"""Words that join others in a name."""
ALSO_NAMES = frozenset({"mark", "max", "min", "page"})
"""Of the words, those that are also names of people; these have a capital."""
_WORD = re.compile(r"[^\W\d_]+")
_HUMP = re.compile(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Þ])")


def words_of(name: str) -> Set[str]:
    """Return the words in a name such as `Student_ID`, `studentId` or `Student ID (2)`, in lower case."""
    return {word.lower() for part in _HUMP.split(name) for word in _WORD.findall(part)}


def enough_are_column_words(columns: Sequence[Set[str]]) -> bool:
    """Return whether so many columns are named with such words that all of them may be taken for names of columns."""
    known = sum(bool(words & COLUMN_WORDS) for words in columns)
    return known >= max(min(LEAST, len(columns)), LEAST_SHARE * len(columns))


def may_be_shown(name: str) -> bool:
    """Return whether one column's name may stand in a message: a table may have a column per student, named so.

    It may where it says nothing but such words, at least one of them no word between others.
    """
    words = words_of(name)
    known = words & COLUMN_WORDS
    if not known or words - COLUMN_WORDS - BETWEEN:
        return False
    return not (known <= ALSO_NAMES and name[:1].isupper())


def spelled(name: str) -> str:
    """Return a column's name as a message shows it: what a terminal would act on, and U+FFFD, is escaped."""
    return "".join(c if c.isprintable() and c != "\ufffd" else c.encode("unicode_escape").decode("ascii") for c in name)
