"""Where the time of a run goes."""

from trainer.profilers.advanced import AdvancedProfiler
from trainer.profilers.profiler import PassThroughProfiler, Profiler
from trainer.profilers.pytorch import PyTorchProfiler
from trainer.profilers.simple import SimpleProfiler

__all__ = ["AdvancedProfiler", "PassThroughProfiler", "Profiler", "PyTorchProfiler", "SimpleProfiler"]
