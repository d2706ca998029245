"""The grades file of `homeroom score`: answers, with ids put back from the submitted files, as an import wants them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from components.app import Application, GradingCodec
from components.artifacts import RawFiles
from components.errors import ConfigError
from components.store import Store
from flows.outputs import check_output
from serving.bundle import Bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class GradesFile:
    """What to write, and for which system."""

    path: Path
    lms: Literal["canvas", "moodle", "plain"] = "plain"
    assignment: str = "{prompt}"
    """Header of the column of grades; `{prompt}` stands for the prompt's id."""
    grade: Literal["points", "percent"] = "points"

    @classmethod
    def checked(cls, path: str | Path, application: Application, bundle: Bundle, **how: Any) -> "GradesFile":
        """Return the file after a look at whether it can be.

        Raises:
            ConfigError: the place is no .csv, or the release gives no grades.
        """
        if not isinstance(bundle.codec, GradingCodec):
            raise ConfigError(
                f"--grades needs a release that grades; {bundle.version} is one of {application.name}, which gives no "
                "scores on a rubric. Leave --grades out."
            )
        return cls(path=check_output(path, (".csv",)), **how)

    def table(self, answers: pl.DataFrame, store: Store, raw: RawFiles, reading: Any, bundle: Bundle) -> str:
        """Return the CSV.

        Args:
            answers: of the scorer.
            store: gives a folder for scratch.
            raw: the submitted files.
            reading: the configuration with which they were read.
            bundle: the release.

        Raises:
            ConfigError: a file has no column by which the system knows a student.
            SchemaError: a student has several answers to one prompt.
        """
        from components.writing.grades import grades_of  # late: only grading needs them
        from components.writing.lms import lms_config, named_assignment, own_columns, safe_csv
        from components.writing.scale import prompt_scales
        from components.writing.submitted import submitted_columns

        assert isinstance(bundle.codec, GradingCodec)
        with store.scratch() as scratch:
            submitted = submitted_columns(raw, reading, scratch, lambda names: own_columns(self.lms, names))
        own = list(dict.fromkeys(name for table in submitted.values() for name in table.columns))
        config = lms_config(self.lms, own, assignment=self.assignment, grade=self.grade)
        found = grades_of(answers, config, scales=prompt_scales(bundle.codec.grading_prompts()), submitted=submitted)
        if self.lms != "plain":
            found = named_assignment(found, self.assignment, sorted(answers["prompt"].unique().to_list()))
        return safe_csv(found)
