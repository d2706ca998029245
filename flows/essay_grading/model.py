"""The graders of essay grading, by what the configuration asks for."""

from components.writing.graders.grader import Grader


class EssayGrader(Grader):
    """What is trained, evaluated and exported: any of the graders of scored writing."""
