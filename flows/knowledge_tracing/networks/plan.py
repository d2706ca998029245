"""How the attention network is split over processes: `ModelParallelStrategy(plan=plan)`.

Heads and the feed-forward layers' hidden units are shared out; tables, normalisations and the state of width D are
whole on each process. `heads`, `width` and `hidden` have to be multiples of the processes in "tensor_parallel".
"""

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel

from flows.knowledge_tracing.networks.attention import Block
from trainer.strategies import LocalParameters


def plan(model: nn.Module, mesh: DeviceMesh) -> dict[str, ParallelStyle]:
    """Return the style of each layer that is split, for every attention block of the model."""
    styles: dict[str, ParallelStyle] = {}
    for name, part in model.named_modules():
        if isinstance(part, Block):
            styles |= {
                f"{name}.attention": LocalParameters({"raw_decay": 0, "start": 0}, divide=["heads"]),
                f"{name}.attention.query_key": ColwiseParallel(),
                f"{name}.attention.value": ColwiseParallel(),
                f"{name}.attention.out": RowwiseParallel(),
                f"{name}.feed.0": ColwiseParallel(),
                f"{name}.feed.2": RowwiseParallel(),
            }
    return styles
