"""Time to quality: our recipe and a tutorial's, by distance to held-out subjects; then two ways to sample.

usage: python benchmarks/time_to_quality.py [--minutes 10] [--share 0.3] [--seeds 3] [--profile demo] [--out FILE]

ours      the demo's: U-Net on folded pixels that predicts the image, EDM, noise levels for the size, short average
tutorial  diffusers' and MONAI's unconditional ones: U-Net at full size, epsilon, L_simple, learning rate 1e-4, average
          of 0.9999 per step; with a network small enough for a CPU (theirs has 18 to 114 million parameters)

Every seed trains the tutorial's recipe for --minutes, ours for --share of them; one thread each. `fit` trains both.
The tutorial's model is also sampled with 20 evaluations of DPM-Solver++: a thousand would not change the result here.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

import medsynth_lib as ms
from medsynth_lib.core.method import Method
from medsynth_lib.core.seeding import step_seed
from medsynth_lib.data.joint import Shape
from medsynth_lib.evaluation import monitor
from medsynth_lib.experiment.profiles.sizes import DiffusionSizes
from medsynth_lib.experiment.run import REPOSITORY, commit, versions
from medsynth_lib.models.diffusion.edm import deviation
from medsynth_lib.models.diffusion.solvers import solver

N_EVAL_SAMPLES = 128  # samples of each evaluation
TUTORIAL_BATCH = 16  # diffusers' and MONAI's
TRIAL = 20  # steps by which the speed is measured
THOUSAND = 1_000  # steps of the tutorials' sampler


def ours(shape: Shape, sizes: DiffusionSizes, sigma_data: float) -> Method:
    return ms.EDM(**vars(shape), sigma_data=sigma_data, **sizes.edm)


def tutorial(shape: Shape) -> Method:
    arguments = {"patch": 1, "widths": (32, 64, 64), "layers": 2, "learning_rate": 1e-4, "solver_steps": 20}
    return ms.DDPM(**vars(shape), **arguments, prediction_type="epsilon", max_snr=None)


def trained(
    build: Callable[[], Method],
    tensors: dict[str, Tensor],
    seconds: float,
    batch: int,
    seed: int,
    half_life: Callable[[float], float],
    monitor_: Callable | None = None,
) -> tuple[Method, dict]:
    """A model trained for about so many seconds, by the speed of a trial run, and its record."""
    with tempfile.TemporaryDirectory() as folder:
        trial = ms.fit(build(), tensors, Path(folder), images=TRIAL * batch, batch_size=batch, seed=seed)
        images = trial["images_per_second"] * seconds
        budget = {"images": images, "batch_size": batch, "ema_images": half_life(images), "monitor": monitor_}
        net = build()
        return net, ms.fit(net, tensors, Path(folder) / "whole", seed=seed, **budget)


def train_and_evaluate(recipe: str, seed: int, minutes: float, share: float, name: str) -> dict:
    """One training on the phantom at the sizes of the profile `name`, and its evaluation."""
    run = ms.start("time_to_quality", name)
    train, holdout, sizes = run.part("gen_train"), run.part("holdout"), run.settings.diffusion
    tensors, shape = ms.joint.tensors_of(train), ms.joint.shape_of(train)
    evaluate, evaluations = monitor.holdout_monitor(train, holdout, step_seed(seed, 0), n=N_EVAL_SAMPLES), []

    def watched(net: Method) -> dict[str, float]:
        """Evaluates the averaged weights so far, without a "distance", so that the last ones are published."""
        started = time.perf_counter()
        evaluations.append({**evaluate(net), "spent": time.perf_counter() - started})
        return {"seen": evaluations[-1]["distance"]}

    if recipe == "tutorial":
        net, record = trained(
            partial(tutorial, shape), tensors, 60 * minutes, TUTORIAL_BATCH, seed, lambda images: 110_000
        )
        return {"seconds": record["seconds"], "images": record["images"], **evaluate(net)}
    build = partial(ours, shape, sizes, deviation(tensors, shape.labels))
    seconds = 60 * minutes * share
    net, record = trained(build, tensors, seconds, sizes.batch_size, seed, lambda images: images / 20, watched)
    seconds = record["seconds"] - sum(entry["spent"] for entry in evaluations)
    found = {"seconds": seconds, "images": record["images"], **evaluate(net)}
    found["curve"] = {"seconds": np.linspace(0, seconds, len(evaluations) + 1)[1:].tolist()}
    found["curve"]["distance"] = [entry["distance"] for entry in evaluations]
    for way, how in {"default": {}, "thousand": {"scheduler": solver(THOUSAND, "DDPM")}}.items():
        started = time.perf_counter()
        distance = evaluate(net, **how)["distance"]
        speed = N_EVAL_SAMPLES / (time.perf_counter() - started)  # the evaluation itself takes a second or two of it
        found[way] = {"distance": distance, "images_per_second": speed}
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("minutes", 10.0), ("share", 0.3), ("seeds", 3), ("profile", "demo")):
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    jobs = {
        f"{recipe} {seed}": partial(train_and_evaluate, recipe, seed, given.minutes, given.share, given.profile)
        for recipe in ("tutorial", "ours")
        for seed in range(given.seeds)
    }
    # A folder of its own, so that slices and results of notebooks stay as they are.
    os.environ["MEDSYNTH_RUNS"] = str(Path(os.environ.get("MEDSYNTH_RUNS") or REPOSITORY / "runs") / "benchmarks")
    ms.start("time_to_quality", given.profile).slices()  # made once, before the jobs need it
    found = ms.side_by_side(jobs)
    record = {
        "minutes": given.minutes,
        "share": given.share,
        "found": found,
        "versions": versions(),
        "commit": commit(),
    }
    for name, row in found.items():
        print(f"{name}: {row['seconds']:.0f} s, {row['images']:,.0f} images, distance {row['distance']:.0f}")
    if given.out:
        given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
