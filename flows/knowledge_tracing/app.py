"""Knowledge tracing as an application: what is particular to it, and its configuration."""

from dataclasses import field

from components.app import Application
from components.config import config_class
from components.deploy.config import DeployConfig
from components.evaluate.config import EvaluateConfig
from components.export.config import ExportConfig
from components.fairness.config import FairnessConfig
from components.ingest.config import IngestConfig
from components.leakage.config import LeakageConfig
from components.mitigation.groups import disagreement
from components.preprocess.config import PreprocessConfig
from flows.knowledge_tracing.config import KnowledgeTracingTrainConfig


@config_class
class KnowledgeTracingConfig:
    """One section per stage."""

    ingest: IngestConfig = field(default_factory=IngestConfig)
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    leakage: LeakageConfig = field(default_factory=LeakageConfig)
    train: KnowledgeTracingTrainConfig = field(default_factory=KnowledgeTracingTrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    fairness: FairnessConfig = field(default_factory=FairnessConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    deploy: DeployConfig = field(default_factory=DeployConfig)

    def __post_init__(self) -> None:
        if (problem := disagreement(self.preprocess.map_groups.by, self.train.postprocess)) is not None:
            raise ValueError(problem)


APP = Application(
    name="knowledge_tracing",
    title="Knowledge tracing: the probability that a student answers the next item correctly",
    package="flows.knowledge_tracing",
    chain="components.sequences.chain:SEQUENCES",
    config=KnowledgeTracingConfig,
    train_config="flows.knowledge_tracing.config:KnowledgeTracingTrainConfig",
    encoder="flows.knowledge_tracing.encode:KnowledgeTracingEncoder",
    data="flows.knowledge_tracing.data:KnowledgeTracingData",
    model="flows.knowledge_tracing.model:DeepKnowledgeTracing",
    scorer="flows.knowledge_tracing.scoring:score_logs",
    requests="flows.knowledge_tracing.requests:held_out_requests",
)
