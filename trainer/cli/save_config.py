"""Keeping the configuration of a run beside its logs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from trainer.callback import Callback
from trainer.cli.jsonargparse_names import KEEP_NONE
from trainer.loops.hooks import is_overridden

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from trainer.cli.parser import LightningArgumentParser
    from trainer.module import LightningModule
    from trainer.trainer import Trainer
    from trainer.types import Stage


class SaveConfigCallback(Callback):
    """Writes the configuration into the folder of the logs when a run begins, once.

    Args:
        parser: what read the configuration.
        config: the configuration.
        config_filename: name of the file.
        overwrite: replace the file of an earlier run; otherwise such a file ends the run before it begins.
        multifile: keep configurations that came in several files apart.
        save_to_log_dir: write the file; False leaves it to a `save_config` of your own.

    Raises:
        ValueError: nothing would be saved.
    """

    def __init__(
        self,
        parser: LightningArgumentParser,
        config: Namespace,
        config_filename: str = "config.yaml",
        overwrite: bool = False,
        multifile: bool = False,
        save_to_log_dir: bool = True,
    ) -> None:
        self.parser = parser
        self.config = config
        self.config_filename = config_filename
        self.overwrite = overwrite
        self.multifile = multifile
        self.save_to_log_dir = save_to_log_dir
        self.already_saved = False
        if not save_to_log_dir and not is_overridden("save_config", self, SaveConfigCallback):
            raise ValueError(
                "`save_to_log_dir=False` saves the configuration nowhere. Got a SaveConfigCallback without a "
                "`save_config` of its own; expected a subclass that writes one. Write it, or pass "
                "`LightningCLI(save_config_callback=None)` to save nothing."
            )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Save, on rank zero.

        Raises:
            RuntimeError: the file is there already, and may not be replaced.
        """
        if self.already_saved:
            return
        if self.save_to_log_dir:
            self._write(trainer)
        if trainer.is_global_zero:
            self.save_config(trainer, pl_module, stage)
        self.already_saved = True

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Write it to save the configuration somewhere else too, such as in a logger.

        Called on rank zero only, so it must not wait for other processes; write `setup` for that.
        """

    def _write(self, trainer: Trainer) -> None:
        folder = trainer.log_dir  # the same on all processes
        assert folder is not None
        path = os.path.join(folder, self.config_filename)
        files = _Files(folder)
        if not self.overwrite and trainer.strategy.broadcast(trainer.is_global_zero and files.is_file(path)):
            raise RuntimeError(
                f"{type(self).__name__} expected {path} to NOT exist: it is the configuration of an earlier run. "
                "Choose another folder, delete the file, replace it with "
                '`LightningCLI(save_config_kwargs={"overwrite": True})`, or save none with '
                "`LightningCLI(save_config_callback=None)`."
            )
        if trainer.is_global_zero:
            files.make_folder(folder)
            self.parser.save(self.config, path, overwrite=self.overwrite, multifile=self.multifile, **KEEP_NONE)


class _Files:
    """The files of a local or remote folder."""

    def __init__(self, folder: str) -> None:
        self._remote: Any = None  # fsspec ships no types
        if "://" in folder:
            import fsspec

            self._remote = fsspec.core.url_to_fs(folder)[0]

    def is_file(self, path: str) -> bool:
        return bool(os.path.isfile(path) if self._remote is None else self._remote.isfile(path))

    def make_folder(self, folder: str) -> None:
        (os if self._remote is None else self._remote).makedirs(folder, exist_ok=True)
