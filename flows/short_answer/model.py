"""The graders of short answers, by what the configuration asks for."""

from components.writing.graders.grader import Grader


class AnswerGrader(Grader):
    """What is trained, evaluated and exported: any of the graders of scored writing."""
