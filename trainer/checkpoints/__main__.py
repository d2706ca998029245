"""`python -m trainer.checkpoints consolidate FOLDER TARGET`: one file from a sharded checkpoint."""

from __future__ import annotations

from typing import Literal

import click

from trainer.checkpoints.consolidation import consolidate
from trainer.errors import CheckpointError, MisconfigurationException


@click.group()
def main() -> None:
    """Work on checkpoints."""


@main.command("consolidate")
@click.argument("folder", type=click.Path())
@click.argument("target", type=click.Path())
@click.option(
    "--format",
    "form",
    type=click.Choice(["safetensors", "ckpt"]),
    default="safetensors",
    help="The weights alone, or an ordinary checkpoint with everything.",
    show_default=True,
)
def consolidate_command(folder: str, target: str, form: Literal["safetensors", "ckpt"]) -> None:
    """Write the sharded checkpoint FOLDER to the file TARGET."""
    try:
        found = consolidate(folder, target, form)
    except (CheckpointError, MisconfigurationException) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{target}: {found['tensors']} tensors of weights, {found['bytes']} bytes")


if __name__ == "__main__":
    main()
