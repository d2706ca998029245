"""Layers of one model on several processes, batches passing through them in parts."""

from trainer.strategies.pipeline.strategy import PipelineStrategy

__all__ = ["PipelineStrategy"]
