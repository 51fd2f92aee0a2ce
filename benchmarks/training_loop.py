"""Speed of `fit`: the same network and images in four loops, which run blocks of steps in turn.

usage: python benchmarks/training_loop.py [--size 32] [--batch 16] [--steps 40] [--rounds 9] [--out FILE]

All of them compute in the same precision: bf16 on a GPU that has it, float32 elsewhere.

floor      forward, backward, fused AdamW on one batch that is on the device: the limit of the machine
fit        this project's loop: weight average, clipped gradients, check for finite losses, statistics
diffusers  in the style of its unconditional example: DataLoader, EMAModel, plain AdamW, `.item()` at every step
MONAI      in the style of its 2-D DDPM tutorial: CacheDataset with RandAffined, DataLoader, Adam, `.item()` again
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from monai.data import CacheDataset
from monai.networks.schedulers import DDPMScheduler as MonaiScheduler
from monai.transforms import RandAffined
from torch import Tensor
from torch.nn import functional as F

import medsynth_lib as ms
from medsynth_lib.core.devices import autocast, make_fabric, precision_of
from medsynth_lib.experiment.run import commit, versions
from medsynth_lib.models.diffusion.solvers import TIMESTEPS, noise_schedule

WIDTHS = (32, 64, 64)


def model(size: int) -> ms.DDPM:
    torch.manual_seed(0)
    return ms.DDPM(1, 0, size, patch=1, widths=WIDTHS, layers=2, prediction_type="epsilon").to(make_fabric().device)


def noise_loss(net: Callable, schedule: Any, x: Tensor, precision: str, timesteps: int = TIMESTEPS) -> Tensor:
    noise = torch.randn_like(x)
    t = torch.randint(0, timesteps, (len(x),), device=x.device)
    with autocast(x.device, precision):
        return F.mse_loss(net(schedule.add_noise(x, noise, t), t).float(), noise)


class Floor:
    def __init__(self, images: Tensor, batch: int):
        self.ddpm, self.schedule = model(images.shape[-1]), noise_schedule()
        self.precision = precision_of(make_fabric(), self.ddpm)
        self.optimiser = torch.optim.AdamW(self.ddpm.predictor.parameters(), lr=1e-4, fused=True)
        self.batch = images[:batch].to(self.ddpm.device)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.optimiser.zero_grad()
            noise_loss(self.ddpm.predictor, self.schedule, self.batch, self.precision).backward()
            self.optimiser.step()


class Fit:
    def __init__(self, images: Tensor, batch: int):
        self.ddpm, self.batch = model(images.shape[-1]), batch
        empty = torch.zeros(len(images), *images.shape[2:], dtype=torch.uint8)
        self.tensors = {"images": images, "labels": empty}

    def run(self, steps: int) -> float:
        """Seconds as `fit` counts them: without reading and hashing data, and writing the weights at the end."""
        budget = {"images": steps * self.batch, "batch_size": self.batch, "ema_images": 1_000, "seed": 0, "force": True}
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            return ms.fit(self.ddpm, self.tensors, Path(folder), **budget)["seconds"]


class Diffusers:
    def __init__(self, images: Tensor, batch: int):
        self.ddpm, self.schedule = model(images.shape[-1]), noise_schedule()
        self.net, self.precision = self.ddpm.predictor.unet, precision_of(make_fabric(), self.ddpm)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
        self.ema = EMAModel(self.net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
        data = [{"input": image} for image in images]
        self.loader = torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True, drop_last=True)

    def run(self, steps: int) -> None:
        done, net = 0, lambda x, t: self.net(x, t).sample
        while done < steps:
            for batch in self.loader:
                loss = noise_loss(net, self.schedule, batch["input"].to(self.ddpm.device), self.precision)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
                self.optimiser.step()
                self.optimiser.zero_grad()
                self.ema.step(self.net.parameters())
                loss.detach().item()
                done += 1
                if done == steps:
                    break


class Monai:
    def __init__(self, images: Tensor, batch: int):
        self.ddpm, self.schedule = model(images.shape[-1]), MonaiScheduler(num_train_timesteps=TIMESTEPS)
        self.net, self.precision = self.ddpm.predictor.unet, precision_of(make_fabric(), self.ddpm)
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=2.5e-5)
        turn = RandAffined(
            keys=["image"],
            rotate_range=[(-3.14 / 36, 3.14 / 36), (-3.14 / 36, 3.14 / 36)],
            translate_range=[(-1, 1), (-1, 1)],
            scale_range=[(-0.05, 0.05), (-0.05, 0.05)],
            padding_mode="zeros",
            prob=0.5,
        )
        data = CacheDataset([{"image": image} for image in images], transform=turn, progress=False)
        self.loader = torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True, drop_last=True)

    def run(self, steps: int) -> None:
        done, total, net = 0, 0.0, lambda x, t: self.net(x, t).sample
        while done < steps:
            for batch in self.loader:
                self.optimiser.zero_grad(set_to_none=True)
                images = batch["image"].as_tensor().to(self.ddpm.device)
                loss = noise_loss(net, self.schedule, images, self.precision)
                loss.backward()
                self.optimiser.step()
                total += loss.item()
                done += 1
                if done == steps:
                    break


def measure(size: int, batch: int, steps: int, rounds: int) -> dict:
    """{"images_per_second": {loop: median over rounds}, "of_floor": {loop: median of ratios within a round}, ...}."""
    torch.manual_seed(0)
    images = torch.rand(16 * batch, 1, size, size) * 2 - 1
    loops = {
        name: cls(images, batch)
        for name, cls in (("floor", Floor), ("fit", Fit), ("diffusers", Diffusers), ("MONAI", Monai))
    }
    for loop in loops.values():
        loop.run(2)
    speeds = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            started = time.perf_counter()
            seconds = loop.run(steps)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            speeds[name].append(steps * batch / (seconds or time.perf_counter() - started))
        print("  ".join(f"{name} {values[-1]:.1f}" for name, values in speeds.items()), "images/s", flush=True)
    return {
        "images_per_second": {name: round(median(values), 2) for name, values in speeds.items()},
        "of_floor": {
            name: round(median(v / f for v, f in zip(values, speeds["floor"], strict=True)), 3)
            for name, values in speeds.items()
        },
        "size": size,
        "batch": batch,
        "steps": steps,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "device": str(loops["floor"].ddpm.device),
        "precision": loops["floor"].precision,
        "versions": versions(),
        "commit": commit(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("size", 32), ("batch", 16), ("steps", 40), ("rounds", 9)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = measure(given.size, given.batch, given.steps, given.rounds)
    print(json.dumps({key: found[key] for key in ("images_per_second", "of_floor")}, indent=1))
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
