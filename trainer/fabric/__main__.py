"""`python -m trainer.fabric run script.py --devices=2`: a Fabric script in several processes, by torchrun."""

from __future__ import annotations

import os

import click

from trainer.accelerators import choose_devices
from trainer.errors import CheckpointError, MisconfigurationException
from trainer.fabric.arguments import PREFIX, USED

_PRECISIONS = ("16-mixed", "bf16-mixed", "32-true", "64-true", "64", "32", "16", "bf16", "16-true", "bf16-true")


@click.group()
def main() -> None:
    """Start scripts that use Fabric."""


@main.command("run", context_settings={"ignore_unknown_options": True})
@click.argument("script", type=click.Path(exists=True))
@click.option("--accelerator", default=None, help="cpu, gpu, cuda, mps, auto, or a registered name.")
@click.option("--strategy", default=None, help="How the processes work together, such as ddp.")
@click.option("--devices", default="1", help="Devices of this machine: a number, '0,1' or 'auto'.")
@click.option("--num-nodes", "--num_nodes", type=int, default=1, help="Number of machines.")
@click.option("--node-rank", "--node_rank", type=int, default=0, help="Index of this machine.")
@click.option("--main-address", "--main_address", default="127.0.0.1", help="Address of the first machine.")
@click.option("--main-port", "--main_port", type=int, default=29400, help="A free port of the first machine.")
@click.option("--precision", type=click.Choice(_PRECISIONS), default=None, help="Number format.")
@click.argument("script_args", nargs=-1, type=click.UNPROCESSED)
def run(
    script: str,
    accelerator: str | None,
    strategy: str | None,
    devices: str,
    num_nodes: int,
    node_rank: int,
    main_address: str,
    main_port: int,
    precision: str | None,
    script_args: tuple[str, ...],
) -> None:
    """Run SCRIPT, which makes a Fabric object, in one process for each device; SCRIPT_ARGS are passed on."""
    if strategy is not None and any(word in strategy for word in ("spawn", "fork", "notebook")):
        raise click.BadParameter("the command starts the processes itself; take 'ddp'", param_hint="--strategy")
    from torch.distributed import run as torchrun  # late: it imports much

    count = choose_devices(accelerator or "auto", devices).count
    given = {"accelerator": accelerator, "strategy": strategy, "devices": devices, "precision": precision}
    if devices == "auto":
        given["devices"] = str(count)
    os.environ[USED] = "1"
    os.environ[f"{PREFIX}NUM_NODES"] = str(num_nodes)
    os.environ.update({f"{PREFIX}{name.upper()}": value for name, value in given.items() if value is not None})
    threads = max(1, (os.cpu_count() or 1) // count)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    torchrun.main(
        [
            f"--nproc_per_node={count}",
            f"--nnodes={num_nodes}",
            f"--node_rank={node_rank}",
            f"--master_addr={main_address}",
            f"--master_port={main_port}",
            script,
            *script_args,
        ]
    )


@main.command("consolidate")
@click.argument("checkpoint_folder", type=click.Path())
@click.option("--output_file", "--output-file", type=click.Path(), default=None, help="The file to write.")
def consolidate_folder(checkpoint_folder: str, output_file: str | None) -> None:
    """Write the sharded checkpoint CHECKPOINT_FOLDER to one file, by default CHECKPOINT_FOLDER.consolidated."""
    from trainer.checkpoints import consolidate

    target = output_file or f"{checkpoint_folder.rstrip('/')}.consolidated"
    try:
        consolidate(checkpoint_folder, target, "ckpt")
    except (CheckpointError, MisconfigurationException) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
