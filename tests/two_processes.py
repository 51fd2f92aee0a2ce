"""Every method trained by one or by two processes; run as a program by test_two_processes.py.

usage: python two_processes.py FOLDER PROCESSES METHOD ...   ->  FOLDER/METHOD/ and, of two processes,
FOLDER/METHOD-watched/ (with a monitor): the published weights, the first ones (before.safetensors) and rank*.json

Rows of a batch are drawn for all processes at once, of which each takes its own (`OwnRows`): so two processes can be
compared with one.
"""

import json
import sys
from pathlib import Path

import torch
from lightning_fabric import Fabric
from methods import METHODS, data
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

from medsynth_lib.core import trainer as training
from medsynth_lib.core.processes import strategy
from medsynth_lib.core.seeding import step_seed

BATCH, STEPS = 8, 4
DRAWS = {torch.randn, torch.rand, torch.randint, torch.randn_like, torch.rand_like}


class OwnRows(TorchFunctionMode):
    """Random numbers for the whole batch, and of these every `count`-th row from `rank` on."""

    def __init__(self, rank: int, count: int):
        self.rank, self.count, self.rows = rank, count, BATCH // count
        super().__init__()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function not in DRAWS and function is not torch.nn.functional.dropout:
            return function(*args, **kwargs)
        if function is torch.nn.functional.dropout:
            return args[0] * self._mine(lambda shape: function(torch.ones(shape), *args[1:], **kwargs), args[0].shape)
        if function in (torch.randn_like, torch.rand_like):
            plain = torch.randn if function is torch.randn_like else torch.rand
            return self._mine(lambda shape: plain(shape, dtype=args[0].dtype), args[0].shape)
        if function is torch.randint:
            return self._mine(lambda shape: torch.randint(*args[:-1], shape, **kwargs), args[-1])
        shape = args[0] if isinstance(args[0], tuple | list | torch.Size) else args
        return self._mine(lambda shape: function(*shape, **kwargs), shape)

    def _mine(self, draw, shape) -> torch.Tensor:
        """Draw the dimension of rows (the first that the rows of this process fill) as often as there are processes."""
        where = [k for k, n in enumerate(shape) if n and n % self.rows == 0]
        if not where:
            return draw(tuple(shape))
        whole = list(shape)
        whole[where[0]] *= self.count
        mine = [slice(None)] * where[0] + [slice(self.rank, None, self.count)]
        return draw(tuple(whole))[tuple(mine)]


def watch(method):
    """A monitor that samples where a method can, and likes the third look best."""
    watch.evaluations += 1
    if hasattr(method, "sample") and method.name not in ("mask_diffusion",):
        method.sample(2, 0)
    return {"distance": abs(watch.evaluations - 3)}


def main(folder: str, processes: str, *names: str) -> None:
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=int(processes), strategy=strategy() if processes != "1" else "auto")
    fabric.launch()
    training.step_seed = lambda seed, step, rank: step_seed(seed, step)
    for name in names:
        for how, monitor in (("", None), ("-watched", watch))[: fabric.world_size]:
            watch.evaluations = 0
            out = Path(folder) / (name + how)
            torch.manual_seed(fabric.global_rank)  # the first process's weights are everybody's
            method = METHODS[name]()
            before = {key: value.clone().contiguous() for key, value in method.weights().items()}
            tensors, how_long = data(name), {"images": STEPS * BATCH, "batch_size": BATCH, "seed": 0, "ema_images": 20}
            with OwnRows(fabric.global_rank, fabric.world_size):
                record = training.fit(method, tensors, out, **how_long, monitor=monitor, fabric=fabric)
            if fabric.is_global_zero:
                save_file(before, out / "before.safetensors")
            sums = {key: value.double().sum().item() for key, value in method.weights().items()}
            path = out / f"rank{fabric.global_rank}.json"
            path.write_text(json.dumps({"sums": sums, "published": record["images_of_published"]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
