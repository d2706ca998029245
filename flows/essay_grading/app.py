"""Essay grading as an application: what is particular to it, and its configuration."""

from dataclasses import field

from components.app import Application
from components.config import config_class
from components.export.config import ExportConfig
from components.writing.evaluate.config import WritingEvaluateConfig
from components.writing.fairness.config import WritingFairnessConfig
from components.writing.ingest.config import WritingIngestConfig
from components.writing.leakage.config import WritingLeakageConfig
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.release import WritingDeployConfig
from flows.essay_grading.config import EssayTrainConfig


@config_class
class EssayGradingConfig:
    """One section per stage."""

    ingest: WritingIngestConfig = field(default_factory=WritingIngestConfig)
    preprocess: WritingPreprocessConfig = field(default_factory=WritingPreprocessConfig)
    leakage: WritingLeakageConfig = field(default_factory=WritingLeakageConfig)
    train: EssayTrainConfig = field(default_factory=EssayTrainConfig)
    evaluate: WritingEvaluateConfig = field(default_factory=WritingEvaluateConfig)
    fairness: WritingFairnessConfig = field(default_factory=WritingFairnessConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    deploy: WritingDeployConfig = field(default_factory=WritingDeployConfig)


APP = Application(
    name="essay_grading",
    title="Essay grading: a score on the rubric's own scale, its interval, and what moved it",
    package="flows.essay_grading",
    chain="components.writing.chain:WRITING",
    codec_name="components.writing.codec",
    config=EssayGradingConfig,
    train_config="flows.essay_grading.config:EssayTrainConfig",
    data="components.writing.data:WritingData",
    model="flows.essay_grading.model:EssayGrader",
    scorer="components.writing.scorer:score_writing",
    requests="components.writing.requests:held_out_requests",
)
