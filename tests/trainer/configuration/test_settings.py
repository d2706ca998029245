"""Arguments that a trainer can be asked for."""

from __future__ import annotations

import math
from pathlib import Path

from tests.trainer.models import LoggingRegression, SeveralLoaders, make_trainer, regression_loader


def test_a_trainer_tells_its_arguments_under_their_names(tmp_path: Path) -> None:
    given = {
        "max_epochs": 3, "max_steps": 7, "min_epochs": 1, "min_steps": 2, "limit_train_batches": 5,
        "limit_val_batches": 0.5, "limit_test_batches": 2, "limit_predict_batches": 1, "val_check_interval": 2,
        "check_val_every_n_epoch": 2, "accumulate_grad_batches": 2, "gradient_clip_val": 0.5,
        "gradient_clip_algorithm": "value", "log_every_n_steps": 4, "default_root_dir": str(tmp_path),
        "reload_dataloaders_every_n_epochs": 3,
    }  # fmt: skip
    trainer = make_trainer(tmp_path, num_sanity_val_steps=-1, **given)
    assert {name: getattr(trainer, name) for name in given} == given
    assert trainer.num_sanity_val_steps == math.inf
    assert make_trainer(tmp_path, fast_dev_run=3).fast_dev_run == 3
    assert make_trainer(tmp_path, overfit_batches=0.5).overfit_batches == 0.5
    assert (trainer.num_devices, trainer.device_ids) == (1, [0])


def test_a_trainer_tells_the_loaders_it_was_given(tmp_path: Path) -> None:
    trainer, loaders = make_trainer(tmp_path, max_epochs=1), [regression_loader(8, 4), regression_loader(24, 4)]
    assert trainer.val_dataloaders is None
    trainer.fit(SeveralLoaders(), regression_loader(8, 4), loaders)
    trainer.test(LoggingRegression(), loaders[0], verbose=False)
    assert trainer.val_dataloaders is loaders
    assert trainer.test_dataloaders is loaders[0]
    assert trainer.predict_dataloaders is None
    assert trainer.num_sanity_val_batches == [2, 2]
