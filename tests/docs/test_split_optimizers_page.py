"""docs/how-to/split-optimizers.md: its code runs, top to bottom."""

import re
from pathlib import Path
from typing import Any

from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import powerSGD_hook

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "split-optimizers.md"


def test_the_page_runs() -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        exec(compile(block, PAGE.name, "exec"), names)
    assert names["fit"].strategy is names["split"]
    assert names["split"].zero_stage == 1
    assert names["low_rank"].communication.hook is powerSGD_hook
    assert names["low_rank"].communication.state is names["state"]
