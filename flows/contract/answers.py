"""The contract of applications on short answers, which are scored writing with reference answers."""

import json
import shutil
from pathlib import Path

from components.artifacts import JsonValue
from components.simulate.writing import simulated_prompts
from components.simulate.writing_config import SimulateWritingConfig
from components.simulate.writing_stage import simulate_writing
from components.simulate.writing_tables import prompt_settings
from components.stage import Runner
from components.store import Store
from flows.contract import writing

CONSTANT = writing.CONSTANT
check_served = writing.check_served
_SIMULATED = SimulateWritingConfig(students=330, prompts=2, kind="short_answers", seed=1)


def made_up_data(store: Store, folder: Path) -> Path:
    """Write the answers of 330 simulated students to two questions into `folder` and return the file."""
    made = Runner(store)(simulate_writing, _SIMULATED)
    return Path(shutil.copyfile(store.folder(made) / "responses.parquet", folder / "answers.parquet"))


def _inline(value: JsonValue) -> str:
    """Return plain values as TOML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_inline(its)}" for name, its in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)


OVERRIDES = (f"ingest.prompts={_inline(prompt_settings(simulated_prompts(_SIMULATED)))}", *writing.OVERRIDES)
