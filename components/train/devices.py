"""Whether this machine has the devices that a configuration asks for, seen before a process is started for them."""

from components.errors import DeviceMissingError
from components.train.config import TrainConfig


def check_devices(config: TrainConfig) -> None:
    """Refuse to train on GPUs that are not there.

    Raises:
        DeviceMissingError: `train.accelerator` is cuda, and torch sees no GPU or fewer than `train.devices`.
    """
    if config.accelerator != "cuda":
        return
    import torch  # late: a training on the CPU needs none of it here

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found >= config.devices:
        return
    if torch.version.cuda is None:
        why = f"this installation's torch ({torch.__version__}) is built for CPUs only; install one built for CUDA"
    elif not found:
        why = "torch sees none; look at `nvidia-smi` and CUDA_VISIBLE_DEVICES"
    else:
        why = f"torch sees {found}; name as many"
    raise DeviceMissingError(
        f"train.accelerator = 'cuda' with train.devices = {config.devices} asks for {config.devices} GPU(s), and "
        f"{why}. Or train where there is one, or on the CPU: --set train.accelerator=auto takes a GPU where there is "
        "one, --set train.accelerator=cpu never."
    )
