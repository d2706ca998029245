"""Fits of several processes that are asked to stop; `rank-N.json` says after how many steps each one did."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset

import trainer as L
from tests.trainer.models import Regression, regression_loader
from trainer.errors import SIGTERMException
from trainer.strategies import DDPStrategy, Strategy, ddp, shared_page
from trainer.strategies.shared_page import SharedPage

FOLDER, SEES = Path(sys.argv[1]), sys.argv[2]
RANK = int(os.environ["RANK"])
STRATEGY = DDPStrategy(timeout=timedelta(seconds=30))
"""One for all fits: what one leaves behind, the next one finds."""


class Asking(L.Callback):
    """Does something after each step."""

    def __init__(self, ask: Callable[[L.Trainer], None]) -> None:
        self.ask = ask

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Ask."""
        self.ask(trainer)


class Endless(IterableDataset[Any]):
    """Samples without number."""

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield torch.ones(4), torch.ones(1)


def stop_at(step: int, *, on: tuple[int, ...]) -> Callable[[L.Trainer], None]:
    """Return what asks for a stop after `step` steps on some processes."""

    def ask(trainer: L.Trainer) -> None:
        if trainer.global_step == step and RANK in on:
            trainer.should_stop = True

    return ask


def make(ask: Callable[[L.Trainer], None]) -> L.Trainer:
    """Return a trainer of two epochs."""
    return L.Trainer(
        accelerator="cpu", devices=2, strategy=STRATEGY, max_epochs=2, callbacks=[Asking(ask)], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=FOLDER,
    )  # fmt: skip


def steps(ask: Callable[[L.Trainer], None], loader: Any = None) -> int:
    """Return the steps of a fit."""
    trainer = make(ask)
    trainer.fit(Regression(), regression_loader(48, 4) if loader is None else loader)
    return trainer.global_step


def notified() -> tuple[int, bool]:
    """Return the steps of a fit that ends by SIGTERM to one process, and whether that is known as common."""

    def ask(trainer: L.Trainer) -> None:
        if trainer.global_step == 3 and RANK == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    trainer = make(ask)
    try:
        trainer.fit(Regression(), regression_loader(48, 4))
    except SIGTERMException as ended:
        return trainer.global_step, ended.is_common
    return -1, False


def failed() -> int:
    """Return the steps of a fit in which all processes fail alike, before they heard of each other's last step."""

    def ask(trainer: L.Trainer) -> None:
        if trainer.global_step == 3:
            raise ArithmeticError

    trainer = make(ask)
    with contextlib.suppress(ArithmeticError):
        trainer.fit(Regression(), regression_loader(48, 4))
    return trainer.global_step


def watched(strategy: Strategy, timeout_s: float) -> SharedPage | None:
    """Open a page, unless this process is to see no other; note whether there is one."""
    if SEES == "none" and RANK == 1:
        shared_page._lives = lambda pid: False
    page = shared_page.open_page(strategy, timeout_s)
    WAYS.append(page is not None)
    return page


WAYS: list[bool] = []
ddp.open_page = watched  # type: ignore[attr-defined]  # imported there


def main() -> None:
    """Run all."""
    found: dict[str, Any] = {
        "all": steps(stop_at(3, on=(0, 1))),
        "one": steps(stop_at(3, on=(1,))),
        "notified": notified(),
        "last": steps(stop_at(6, on=(0,))),
        "failed": failed(),
        "unknown": steps(stop_at(3, on=(0,)), torch.utils.data.DataLoader(Endless(), batch_size=4)),
        "afterwards": steps(stop_at(6, on=(0, 1))),
    }
    found["ways"] = WAYS
    (FOLDER / f"rank-{RANK}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
