"""Training on a GPU: what the trainer reaches of what the device can do. Needs torch, numpy and this repository only.

    python -m benchmarks.gpu [--sections floors,bert,...] [--output gpu.json] [--compile] [--small]

Every section is measured by itself: one that fails leaves its error in the results, and the others go on. What is
measured is timed with events of the device, after steps that warm it up, and medians are reported. The training loops
are the Trainer's, unless a bare loop is named.

    floors    rates of matrix products (bfloat16, float32, TF32) and of copies; the error of a bfloat16 product
    bert      an essay scorer of BERT-base's shape, bf16-mixed, 512 tokens: model FLOPs as a share of the bfloat16 rate
    dkt       knowledge tracing (hidden 256, 200 steps), input pipeline on: interactions a second, and the AUC reached
    trace     both again under a profiler: how busy the device is, what it does, and who waits for it
    parity    the same seeds on the CPU and on the GPU: losses side by side
    overhead  a step of the trainer beside a bare loop and, where it is installed, Lightning

`--small` shrinks everything, so that it runs in seconds anywhere, also on a CPU: it checks that all of it works.
"""

from benchmarks.gpu.essays import counted_flops, scorer_flops
from benchmarks.gpu.sections import SECTIONS, main
from benchmarks.gpu.sizes import SMALL, Sizes
from benchmarks.gpu.stand_ins import roc_auc, stand_in
from benchmarks.gpu.traces import busy_share, waits

__all__ = [
    "SECTIONS",
    "SMALL",
    "Sizes",
    "busy_share",
    "counted_flops",
    "main",
    "roc_auc",
    "scorer_flops",
    "stand_in",
    "waits",
]
