"""How soon is it good? Our recipe against a tutorial's, by distance to held-out subjects; then two ways to sample.

usage: python benchmarks/time_to_quality.py [--minutes 10] [--share 0.3] [--seeds 3] [--profile demo] [--out FILE]

ours      the demo's: folded U-Net that draws the image, EDM at levels for the image's size, short average
tutorial  diffusers' and MONAI's unconditional ones: U-Net at full size, epsilon, L_simple, learning rate 1e-4, average
          of 0.9999 per step; with a network that is small enough for a CPU (theirs has 18 to 114 million parameters)

Every seed trains the tutorial recipe for so many minutes, ours for a share of them; one thread each. `fit` runs both.
The tutorial's model is judged with 20 evaluations of DPM-Solver++, too: its thousand would not change the verdict here.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

import medsynth_lib as ms
from medsynth_lib.core.seeding import step_seed
from medsynth_lib.evaluation import monitor
from medsynth_lib.experiment.run import REPOSITORY, commit, versions
from medsynth_lib.models.diffusion.edm import deviation
from medsynth_lib.models.diffusion.solvers import solver

LOOKS = 128  # samples by which is judged
TUTORIAL_BATCH = 16  # diffusers' and MONAI's
TRIAL = 20  # steps that tell the speed
THOUSAND = 1_000  # steps of the tutorials' sampler


def ours(shape, sizes, sigma_data):
    names = ("patch", "layers", "attention", "learning_rate", "solver_steps")
    arguments = {name: getattr(sizes, name) for name in names} | {"widths": sizes.channels}
    arguments |= {"p_mean": sizes.p_mean, "p_std": sizes.p_std, "prediction_type": sizes.prediction_type}
    return ms.EDM(**vars(shape), sigma_data=sigma_data, **arguments)


def tutorial(shape):
    arguments = {"patch": 1, "widths": (32, 64, 64), "layers": 2, "learning_rate": 1e-4, "solver_steps": 20}
    return ms.DDPM(**vars(shape), **arguments, prediction_type="epsilon", max_snr=None)


def trained(build, tensors, seconds: float, batch: int, seed: int, half_life, monitor_=None):
    """The model after so many seconds of training: as many images as a trial run says; and its record."""
    with tempfile.TemporaryDirectory() as folder:
        trial = ms.fit(build(), tensors, Path(folder), images=TRIAL * batch, batch_size=batch, seed=seed)
        images = trial["images_per_second"] * seconds
        budget = {"images": images, "batch_size": batch, "ema_images": half_life(images), "monitor": monitor_}
        net = build()
        return net, ms.fit(net, tensors, Path(folder) / "whole", seed=seed, **budget)


def race(recipe: str, seed: int, minutes: float, share: float, name: str) -> dict:
    """One training on the phantom at the sizes of this profile (made on the spot when it is missing), judged."""
    run = ms.start("time_to_quality", name)
    train, holdout, sizes = run.part("gen_train"), run.part("holdout"), run.settings.diffusion
    tensors, shape = ms.joint.tensors_of(train), ms.joint.shape_of(train)
    judge, looks = monitor.holdout_monitor(train, holdout, step_seed(seed, 0), n=LOOKS), []

    def watched(net):
        """What the published weights would be worth by now; chooses nothing, so the last ones are kept."""
        started = time.perf_counter()
        looks.append({**judge(net), "spent": time.perf_counter() - started})
        return {"seen": looks[-1]["distance"]}

    if recipe == "tutorial":
        net, record = trained(
            partial(tutorial, shape), tensors, 60 * minutes, TUTORIAL_BATCH, seed, lambda images: 110_000
        )
        return {"seconds": record["seconds"], "images": record["images"], **judge(net)}
    build = partial(ours, shape, sizes, deviation(tensors, shape.labels))
    seconds = 60 * minutes * share
    net, record = trained(build, tensors, seconds, sizes.batch_size, seed, lambda images: images / 20, watched)
    seconds = record["seconds"] - sum(look["spent"] for look in looks)
    found = {"seconds": seconds, "images": record["images"], **judge(net)}
    found["curve"] = {"seconds": np.linspace(0, seconds, len(looks) + 1)[1:].tolist()}
    found["curve"]["distance"] = [look["distance"] for look in looks]
    for way, how in {"default": {}, "thousand": {"scheduler": solver(THOUSAND, "DDPM")}}.items():
        started = time.perf_counter()
        distance = judge(net, **how)["distance"]
        speed = LOOKS / (time.perf_counter() - started)  # judging itself takes a second or two of it
        found[way] = {"distance": distance, "images_per_second": speed}
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("minutes", 10.0), ("share", 0.3), ("seeds", 3), ("profile", "demo")):
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    jobs = {
        f"{recipe} {seed}": partial(race, recipe, seed, given.minutes, given.share, given.profile)
        for recipe in ("tutorial", "ours")
        for seed in range(given.seeds)
    }
    # A place of its own: the slices and results of notebooks stay as they are.
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
