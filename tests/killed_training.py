"""Every method trained three times: to the end, killed with SIGKILL at its seventh step, and once more after that.

usage: python killed_training.py FOLDER METHOD ...  ->  FOLDER/METHOD/{straight,killed}/ and FOLDER/METHOD/ends.json

Each training is a process of its own, forked from this one: so that torch, MONAI and diffusers are imported only once.
"""

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch
from lightning_fabric import Fabric
from methods import METHODS, data

import medsynth_lib as ms
from medsynth_lib.data.augment import augment

STEPS, BATCH = 12, 4


def train(name: str, folder: Path, kill_at: int) -> None:
    torch.manual_seed(0)
    method, calls = METHODS[name](), [0]
    step = method.step

    def counted(batch, optimisers, fraction):
        calls[0] += 1
        if calls[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(batch, optimisers, fraction)

    method.step = counted
    ms.fit(
        method,
        data(name),
        folder,
        images=STEPS * BATCH,
        batch_size=BATCH,
        seed=3,
        ema_images=20,
        other_emas=(5.0,) if name == "ddpm" else (),
        augment=augment if name == "unet" else None,
        checkpoint_seconds=0.0,
        fabric=Fabric(accelerator="cpu", devices=1),
    )


def in_a_fork(name: str, folder: Path, kill_at: int, log: Path) -> int:
    """What the training ended with, as subprocess has it (-9: SIGKILL); its output goes to `log`."""
    child = os.fork()
    if not child:
        with open(log, "w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        try:
            train(name, folder, kill_at)
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: str, *names: str) -> None:
    torch.set_num_threads(1)
    for name in names:
        here = Path(folder) / name
        here.mkdir(parents=True)
        METHODS[name]()  # imports what it needs here, and not in each fork
        plan = (("straight", 0, "straight"), ("killed", 7, "killed"), ("killed", 0, "again"))
        ends = {log: in_a_fork(name, here / where, kill_at, here / f"{log}.txt") for where, kill_at, log in plan}
        (here / "ends.json").write_text(json.dumps(ends))


if __name__ == "__main__":
    main(*sys.argv[1:])
