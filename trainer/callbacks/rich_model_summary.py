"""The table of the model's layers, drawn with rich."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from trainer.callbacks.model_summary import ModelSummary
from trainer.utilities.model_summary import get_human_readable_count

if TYPE_CHECKING:
    from trainer.trainer import Trainer
    from trainer.utilities.model_summary import ModelSummary as Summary


class RichModelSummary(ModelSummary):
    """Prints the model's layers with rich when a fit begins.

    Args:
        max_depth: how deep layers inside layers are listed; -1 lists all, 0 prints nothing.
        summarize_kwargs: `header_style`, the style of the headings.

    Raises:
        ModuleNotFoundError: rich is not installed.
    """

    def __init__(self, max_depth: int = 1, **summarize_kwargs: Any) -> None:
        if find_spec("rich") is None:
            raise ModuleNotFoundError("RichModelSummary needs rich: pip install rich. ModelSummary needs nothing.")
        super().__init__(max_depth, **summarize_kwargs)

    def show(self, trainer: Trainer, summary: Summary) -> None:
        """Draw `summary` on rich's console."""
        from rich import get_console
        from rich.table import Table

        table = Table(header_style=self._summarize_kwargs.get("header_style", "bold magenta"))
        columns = summary._get_summary_data()
        for heading, _ in columns:
            is_number = heading in ("Params", "FLOPs", "In sizes", "Out sizes")
            table.add_column(heading, justify="right" if is_number else "left", no_wrap=heading == "Name")
        for row in zip(*(cells for _, cells in columns), strict=True):
            table.add_row(*(cell.replace("[", r"\[") for cell in row))
        modes, total, trainable = summary.total_training_modes, summary.total_parameters, summary.trainable_parameters
        totals = Table.grid()
        for meaning, value in (
            ("Trainable params", get_human_readable_count(trainable)),
            ("Non-trainable params", get_human_readable_count(total - trainable)),
            ("Total params", get_human_readable_count(total)),
            ("Total estimated model params size (MB)", f"{summary.model_size:,.3f}"),
            ("Modules in train mode", str(modes["train"])),
            ("Modules in eval mode", str(modes["eval"])),
            ("Total FLOPs", get_human_readable_count(summary.total_flops)),
        ):
            totals.add_row(f"[bold]{meaning}[/]: {value}")
        console = get_console()
        console.print(table)
        console.print(totals)
