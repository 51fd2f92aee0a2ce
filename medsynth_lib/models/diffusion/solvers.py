"""Ho et al.'s noise schedule and diffusers' samplers on it, for any network that predicts the noise."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    HeunDiscreteScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from torch import Tensor

TIMESTEPS = 1000  # beta from 1e-4 to 0.02: a_T = 4e-5, so x_T is noise without a trace of the mean intensity
EVEN = {"timestep_spacing": "trailing"}  # even steps in t that begin at pure noise
SOLVERS = {
    "DDPM": (DDPMScheduler, EVEN | {"clip_sample": False}),
    "DDIM": (DDIMScheduler, EVEN | {"clip_sample": False}),
    "DPM-Solver++": (
        DPMSolverMultistepScheduler,
        {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_lu_lambdas": True},
    ),
    "UniPC": (UniPCMultistepScheduler, EVEN),
    "Heun": (HeunDiscreteScheduler, EVEN),
}


def noise_schedule() -> DDPMScheduler:
    """Ho et al.'s linear schedule."""
    return DDPMScheduler(num_train_timesteps=TIMESTEPS, beta_start=1e-4, beta_end=0.02, prediction_type="epsilon")


@cache
def alphas(device: torch.device | str = "cpu") -> Tensor:
    """Its a_t, the share of the image's variance that is left at step t: [TIMESTEPS], cached per device."""
    return noise_schedule().alphas_cumprod.to(device)


def solver(steps: int, kind: str = "DPM-Solver++") -> SchedulerMixin:
    """A scheduler of diffusers with its steps set; it evaluates the network len(timesteps) times (Heun: 2 steps - 1).

    "DDPM" (ancestral), "DDIM" (Song et al. 2021), "UniPC" (Zhao et al. 2023), "Heun" (Karras et al. 2022), or
    "DPM-Solver++" (2M; Lu et al. 2022), its steps spaced evenly in log signal-to-noise ratio: even steps in t leave
    almost none near the clean image and give too little variance; this spacing gives a known Gaussian's deviation
    within 5 % (tests/models/diffusion/test_solvers.py). KeyError for another kind.
    """
    solver_class, more = SOLVERS[kind]
    found = solver_class.from_config(noise_schedule().config, **more)
    found.set_timesteps(steps)
    if hasattr(found, "set_begin_index"):
        found.set_begin_index(0)
    return found


@torch.no_grad()
def walk(predictor: Callable, noise: Tensor, scheduler: SchedulerMixin, generator: torch.Generator) -> Tensor:
    """From noise [B, ...] of unit variance to data; `predictor`(x_t, t int64 [B]) returns the noise in x_t.

    Only ancestral samplers (DDPM) add noise, from `generator`, so that the seed determines the sample. The scheduler,
    which counts steps, is copied, so that it can be used again.
    """
    scheduler = deepcopy(scheduler)
    x = noise * scheduler.init_noise_sigma  # 1, except for those (Heun) with x = x_0 + sigma n
    own = {"generator": generator} if isinstance(scheduler, DDPMScheduler) else {}
    on_device = scheduler.timesteps.to(x.device).long()
    for t, level in zip(scheduler.timesteps, on_device, strict=True):
        given = scheduler.scale_model_input(x, t)
        x = scheduler.step(predictor(given, level.expand(len(x))), t, x, **own).prev_sample
    return x
