"""What cannot be read or written is said on every process, and nobody waits for somebody who gave up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.trainer.checkpoints.sharded.together import begin, job_server, run
from trainer.checkpoints import load_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]

SAID = {
    "another model": "CheckpointError: The weights in .*good.ckpt do not fit Model",
    "another number of processes": "CheckpointError: .*after 2 batches on each of 3 processes, which is no whole",
    "weights only": "CheckpointError: The checkpoint .* holds weights only",
    "a bucket": "MisconfigurationException: Sharded checkpoints are written to folders",
    "no such": "CheckpointMissingError: There is no checkpoint",
    "missing": "DamagedFolderError: .*missing.ckpt is damaged or cut short: __0_0.distcp is missing|.*__1_0",
    "additional": "DamagedFolderError: .*more does not belong to it",
    "damaged": "DamagedFolderError: .*the bytes of __1_0.distcp do not have the digest",
    "half-written": "CheckpointError: .*has no manifest.json: it was never completed",
    "no manifest": "CheckpointError: .*has no manifest.json",
    "no space at 0": "CheckpointError: .*good.ckpt could not be written: .*No space left on device.*process 0 of 2",
    "no space at 1": "CheckpointError: .*good.ckpt could not be written: .*No space left on device.*process 1 of 2",
    "a foreign folder": "CheckpointError: .*a folder of this name is there, and it is no checkpoint",
    "no space in the background": "CheckpointError: .*could not be written: .*No space left.*process 1 of 2",
    "the good one": "nothing went wrong",
    "in the background": "nothing went wrong",
}


def test_every_process_hears_of_a_failure_anywhere(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "mine.txt").write_text("mine")
    with job_server() as server:
        ranks = run(server, "fail_all", 2, tmp_path)
        pids = begin(server, "load_all", 2, tmp_path, worlds=[], crossed=[["fsdp", "damaged"]])
        codes = [server.wait(pid, 60) for pid in pids]
    for found in ranks:
        for name, expected in SAID.items():
            assert re.match(expected, found[name]), (name, found[name])
        assert found["left"] == []
        assert found["kept later"] == ["epoch=0-step=3.ckpt"]
    one, other = (size for _, size in ranks[0]["shares"])
    assert max(one, other) < 0.6 * (one + other)
    assert ranks[0] == ranks[1]
    assert (tmp_path / "foreign" / "mine.txt").read_text() == "mine"
    assert load_checkpoint(tmp_path / "good.ckpt")["global_step"] == 2
    # The newest that was whole when the disk was full.
    assert load_checkpoint(tmp_path / "later" / "epoch=0-step=3.ckpt")["global_step"] == 3
    assert codes == [1, 1]
    said = [(tmp_path / f"output-{rank}.txt").read_text() for rank in range(2)]
    assert all("the bytes of __1_0.distcp do not have the digest" in text for text in said)
