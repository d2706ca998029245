"""What only a GPU can show, as plain functions: `python -m tests.trainer.gpu_checks [NAME ...]`.

Torch, numpy and this repository are enough, so that it runs on a bare machine; `pytest -m gpu` runs each check in a
process of its own. Without a GPU the same code runs on the CPU, as far as a CPU goes: that shows that the checks work.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.gpu import stand_in

with stand_in():
    import trainer as L
    from trainer.callbacks import EMAWeightAveraging
    from trainer.strategies import DDPStrategy, FSDPStrategy, Strategy

    L.Trainer  # noqa: B018 - names of the trainer are imported when they are first asked for

HAS_GPU = torch.cuda.is_available()
KIND = "cuda" if HAS_GPU else "cpu"
SAME = 1e-5 if HAS_GPU else 1e-6  # sums on a GPU have no fixed order


class Net(L.LightningModule):
    """A recurrent layer between two others; keeps its losses on the device."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.lstm, self.leave = nn.Linear(6, 12), nn.LSTM(12, 16, batch_first=True), nn.Linear(16, 1)
        self.kept: list[Tensor] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        hidden, _ = self.lstm(torch.tanh(self.enter(batch[0])))
        loss = nn.functional.mse_loss(self.leave(hidden[:, -1]).float(), batch[1])
        self.kept.append(loss.detach())
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01, fused=HAS_GPU)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def losses(self) -> Tensor:
        return torch.stack(self.kept).float().cpu()


def loader(batches: int = 20) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(batches * 8, 5, 6, generator=generator)
    return DataLoader(TensorDataset(x, x.sum((1, 2)).sin().unsqueeze(1)), batch_size=8)


def fit(folder: Path, strategy: str | Strategy = "auto", kind: str = KIND, epochs: int = 1, **options: Any) -> Any:
    """Train and return the model and its trainer."""
    L.seed_everything(7, verbose=False)
    model = Net()
    start = options.pop("start", None)
    trainer = L.Trainer(
        accelerator=kind, devices=1, strategy=strategy, max_epochs=epochs, logger=False, enable_progress_bar=False,
        enable_checkpointing=False, enable_model_summary=False, default_root_dir=folder, **options,
    )  # fmt: skip
    trainer.fit(model, loader(), ckpt_path=start)
    return model, trainer


def near(one: Tensor, other: Tensor, tolerance: float, what: str = "") -> None:
    difference = (one - other).abs().max().item()
    assert len(one) == len(other), (len(one), len(other))
    assert difference <= tolerance, f"{what} differs by {difference:.3g}, more than {tolerance}"


@contextlib.contextmanager
def exact_products() -> Iterator[None]:
    """Let cuDNN compute in float32, not in TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def check_ddp(folder: Path) -> None:
    """One process under NCCL has the losses of no strategy at all."""
    with exact_products():
        alone, _ = fit(folder)
        many, trainer = fit(folder, "ddp", gradient_clip_val=None)
    assert torch.distributed.get_backend() == ("nccl" if HAS_GPU else "gloo")
    assert trainer.strategy.device.type == KIND
    near(many.losses(), alone.losses(), SAME, "ddp")


def check_split_optimizer(folder: Path) -> None:
    with exact_products():
        alone, _ = fit(folder, gradient_clip_val=0.1)
        many, trainer = fit(folder, DDPStrategy(zero_stage=1), gradient_clip_val=0.1)
    trainer.save_checkpoint(folder / "zero.ckpt")
    near(many.losses(), alone.losses(), SAME, "zero_stage=1")


def check_fsdp(folder: Path) -> None:
    with exact_products():
        alone, _ = fit(folder, accumulate_grad_batches=2)
        many, trainer = fit(folder, FSDPStrategy(), accumulate_grad_batches=2)
    near(many.losses(), alone.losses(), SAME, "fsdp")
    trainer.save_checkpoint(folder / "fsdp.ckpt")
    state = torch.load(folder / "fsdp.ckpt", weights_only=True)["state_dict"]
    assert {type(value) for value in state.values()} == {Tensor}


def check_communication_hooks(folder: Path) -> None:
    """bfloat16 gradients need NCCL; float16 ones do not."""
    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

    hooks = [default_hooks.fp16_compress_hook] + [default_hooks.bf16_compress_hook] * HAS_GPU
    alone, _ = fit(folder)
    for hook in hooks:
        many, _ = fit(folder, DDPStrategy(ddp_comm_hook=hook))
        near(many.losses(), alone.losses(), 5e-3, hook.__name__)


def check_bf16_mixed(folder: Path) -> None:
    whole, _ = fit(folder)
    mixed, _ = fit(folder, precision="bf16-mixed")
    assert {p.dtype for p in mixed.parameters()} == {torch.float32}
    assert not torch.equal(mixed.losses(), whole.losses()), "nothing was computed in bfloat16"
    near(mixed.losses(), whole.losses(), 2e-2, "bf16-mixed")


def check_fp16_resume(folder: Path) -> None:
    """A run that stopped and went on has the losses, and the scale, of one that did not."""
    if not HAS_GPU:
        return  # float16 is refused there
    whole, trainer = fit(folder, epochs=2, precision="16-mixed", gradient_clip_val=1.0)
    _, first = fit(folder, epochs=1, precision="16-mixed", gradient_clip_val=1.0)
    first.save_checkpoint(folder / "half.ckpt")
    second, resumed = fit(folder, epochs=2, precision="16-mixed", gradient_clip_val=1.0, start=folder / "half.ckpt")
    assert trainer.scaler.get_scale() == resumed.scaler.get_scale()
    near(second.losses(), whole.losses()[20:], 1e-3, "the second half")


class NoWaiting(L.Callback):
    """From the fourth batch to the second last, whoever waits for the device fails."""

    def __init__(self) -> None:
        self.watched = 0

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *rest: Any) -> None:
        if HAS_GPU and rest[1] == 3:
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *rest: Any) -> None:
        self.watched += 3 <= rest[2] < 18
        if HAS_GPU and rest[2] == 17:
            torch.cuda.set_sync_debug_mode("default")


def check_no_waiting(folder: Path) -> None:
    """Between logging points no step waits for the device: plain, clipped, accumulated, averaged, under DDP."""
    cases: dict[str, dict[str, Any]] = {
        "plain": {},
        "clipped": {"gradient_clip_val": 0.5},
        "accumulated": {"accumulate_grad_batches": 3, "precision": "bf16-mixed"},
        "averaged": {"callbacks": [EMAWeightAveraging(decay=0.9)]},
        "ddp": {"strategy": "ddp"},
    }
    for name, options in cases.items():
        watch = NoWaiting()
        callbacks = [watch, *options.pop("callbacks", [])]
        try:
            fit(folder, log_every_n_steps=1000, callbacks=callbacks, **options)
        except RuntimeError as error:
            raise AssertionError(f"{name}: a step waited for the device: {error}") from error
        finally:
            if HAS_GPU:
                torch.cuda.set_sync_debug_mode("default")
        assert watch.watched == 15, name


def check_parity_with_the_cpu(folder: Path) -> None:
    with exact_products():
        here, _ = fit(folder)
        there, _ = fit(folder, kind="cpu")
        near(here.losses(), there.losses(), 1e-4, "float32")
        averaged = [fit(folder, kind=kind, callbacks=[EMAWeightAveraging(decay=0.8)])[0] for kind in (KIND, "cpu")]
    one, other = (torch.cat([p.detach().cpu().flatten() for p in model.parameters()]) for model in averaged)
    near(one, other, 1e-3, "averaged weights")


CHECKS: dict[str, Callable[[Path], None]] = {
    name.removeprefix("check_"): value for name, value in list(globals().items()) if name.startswith("check_")
}


def main(names: list[str]) -> int:
    """Run the named checks, all by default, and return how many failed."""
    failed = 0
    for name in names or CHECKS:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                CHECKS[name](Path(folder))
                print(f"{name}: ok on {KIND}", flush=True)
            except Exception:
                failed += 1
                traceback.print_exc()
                print(f"{name}: FAILED on {KIND}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
