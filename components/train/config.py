"""Configuration of training that every application shares; applications add their model's own fields in a subclass."""

from typing import Literal

from components.config import config_class


@config_class
class TrainConfig:
    """How long, how precisely and on what to train."""

    max_epochs: int = 10
    """Most passes over the training students."""
    patience: int = 3
    """Epochs without a better validation metric before training stops; 0 never stops early."""
    seed: int = 0
    """Of initial weights, order of batches and dropout."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "cuda"] = "cpu"
    devices: int = 1
    """Processes (on CPU) or GPUs; more than one trains with DDP. They share each batch, which stays as configured."""
    threads: int = 1
    """CPU threads per process. Small models are slower with more, and sums then differ in the last digits."""
    accumulate_grad_batches: int = 1
    """Batches whose gradients are added up for one step: a large batch in little memory."""
    gradient_clip_val: float = 1.0
    """Largest gradient norm; 0 does not clip."""

    def __post_init__(self) -> None:
        problems = [
            f"{name}={getattr(self, name)} must be at least {least}"
            for name, least in (
                ("max_epochs", 1),
                ("patience", 0),
                ("devices", 1),
                ("threads", 1),
                ("accumulate_grad_batches", 1),
            )
            if getattr(self, name) < least
        ]
        if self.gradient_clip_val < 0:
            problems.append(f"gradient_clip_val={self.gradient_clip_val} must be 0 or more")
        if problems:
            raise ValueError("; ".join(problems) + ".")
