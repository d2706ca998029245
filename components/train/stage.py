"""The stage `train`: a sequence dataset -> a checkpoint, by way of a child process."""

import json
import shutil

from components.artifacts import Checkpoint, SequenceDataset
from components.config import as_plain
from components.mitigation.postprocess import POSTPROCESS
from components.stage import PENDING, Work, stage
from components.train.config import TrainConfig
from components.train.devices import check_devices
from components.train.job import HISTORY_FILE, MODEL_FILE, Job
from components.train.launcher import run_job


@stage(
    "train", libraries=("torch", "numpy", "scikit-learn"), uses_application=True, also=("components.train.__main__",)
)
def train(work: Work, data: SequenceDataset, config: TrainConfig) -> Checkpoint:
    """Train the application's model; a killed training goes on from its last checkpoint when called again.

    Raises:
        DeviceMissingError: the configuration asks for GPUs that are not there.
        TrainingFailedError: the training process ended without a result.
    """
    check_devices(config)
    folder = work.job_folder
    job = Job(
        package=work.application.package,
        dataset=str(work.folder(data)),
        folder=str(folder),
        config=as_plain(config),
    )
    result = run_job(job, work.say)
    out = work.output()
    for name in (MODEL_FILE, HISTORY_FILE):
        shutil.copyfile(folder / name, out / name)
    if (folder / POSTPROCESS).is_file():
        shutil.copyfile(folder / POSTPROCESS, out / POSTPROCESS)
    facts = {name: getattr(result, name) for name in result.__slots__}
    (out / "training.json").write_text(json.dumps({"config": as_plain(config), **facts}, indent=1), encoding="utf-8")
    return work.publish(
        Checkpoint(
            ref=PENDING,
            lineage=work.lineage,
            application=work.application.name,
            epochs=result.epochs,
            optimizer_steps=result.optimizer_steps,
            parameters=result.parameters,
            best_metric=result.best_metric,
            best_value=result.best_value,
        ),
        out,
    )
