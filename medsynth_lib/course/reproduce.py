"""`make reproduce`: check the request, print the plan, let Snakemake run the notebooks, print the results.

usage: python -m medsynth_lib.course.reproduce --profile demo --data phantom --seed 0 --cores 2 --notebooks core
       [--segmenters "unet swin"] [--dry-run]
"""

from __future__ import annotations

import argparse
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from ..core.checkpoints import write_json
from ..core.progress import clock
from ..data import registry
from ..experiment.finished import DONE, is_done
from ..experiment.profiles import MINUTES, profile
from ..studies import memorization_plan as sweep_plan
from ..studies import segmentation_plan as comparison
from .notebooks import COMPARISON, CORE, FOLDER, SWEEP, select, trained_by


def snakemake(folder: Path, cores: int, *more: str, quiet: str = "all") -> list[str]:
    """Snakemake's command line for one run folder; its own bookkeeping stays in that folder."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(FOLDER / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(folder / "config.json"), "--cores", str(cores), "--rerun-incomplete"]
    return [*command, "--quiet", quiet, *more]


def plan(names: list[str], profile_name: str, trainings: dict[str, int]) -> str:
    """What runs and for how long, as far as was measured; `trainings`: how many are jobs of their own, by notebook."""
    minutes = [MINUTES[profile_name].get(name) for name in names]
    known = [m for m in minutes if m is not None]
    lines = [
        f"  {name:18s} {'about ' + format(m, 'g') + ' min' if m is not None else 'not measured yet'}"
        for name, m in zip(names, minutes, strict=True)
    ]
    lines += [
        f"  ({name}: with its {count} trainings, each a job of its own)" for name, count in trainings.items() if count
    ]
    total = MINUTES[profile_name].get("together")
    if total is not None and set(names) >= set(CORE):
        end = time.strftime("%H:%M", time.localtime(time.time() + 60 * total))
        lines.append(f"  together about {total:g} minutes on 2 cores (generators side by side): done around {end}")
    elif len(known) == len(names):
        lines.append(f"  together at most {sum(known):g} minutes on 2 cores")
    return "\n".join(lines)


def forget_changed(folder: Path) -> None:
    """Take `done.json` from jobs whose result, samples or weights changed since it was written: they run again."""
    for note in [note for job in ("*", "arms/*/*/*", "memory/*/*") for note in sorted(folder.glob(f"{job}/{DONE}"))]:
        if not is_done(note.parent):
            print(f"{note.parent.relative_to(folder)} changed since it was finished, and runs again")
            note.unlink()


def tell_failure(folder: Path, names: list[str]) -> None:
    """The notebook or training that failed, its last words, and where to look."""
    logs = [folder / name / "log.txt" for name in names]
    for name, trainings in ((COMPARISON, "arms/*/*/*/log.txt"), (SWEEP, "memory/*/*/log.txt")):
        logs += sorted(folder.glob(trainings)) if name in names else []
    for log in logs:
        if log.is_file() and not log.with_name(DONE).is_file():
            last = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
            print(f"\n{log.parent.relative_to(folder)} did not finish: {last[-1] if last else 'no output'}")
            print(f"  log: {log}")
            if (notebook := log.with_name("executed.ipynb")).is_file():
                print(f"  partial notebook: {notebook}")
    print("Run the same command again to go on: finished notebooks and trained models are kept.")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="reproduce", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--notebooks", default="core")
    parser.add_argument("--segmenters", default="", help="unet, dynunet, swin; empty = the profile's")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, and what it would cost")
    asked = parser.parse_args(arguments)
    try:
        settings = profile(asked.profile)
        registry.check(asked.data)
        names = select(asked.notebooks)
        comparison.check(asked.segmenters.split(), settings.data.image_size)
    except ValueError as error:
        print(error)
        return 2

    generators = [made for name in names for made in trained_by(name, settings)]
    segmenters = asked.segmenters.split()
    jobs = comparison.jobs(settings.segmentation, generators, segmenters) if COMPARISON in names else []

    from ..experiment.run import run_folder  # torch is imported only for a valid request

    folder = run_folder(asked.profile, asked.data, asked.seed)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run is at work in {folder}; wait for it or choose another SEED.")
            return 2
        wish = {"profile": asked.profile, "data": asked.data, "seed": asked.seed, "notebooks": names}
        write_json(folder / "config.json", {**wish, "segmenters": asked.segmenters})
        forget_changed(folder)
        if asked.dry_run:
            if jobs:
                from ..studies.estimate import estimate  # imports torch, and trains for seconds

                print(estimate(settings, generators, jobs), flush=True)
            return subprocess.run(snakemake(folder, asked.cores, "--dry-run", quiet="rules")).returncode
        print(f"{asked.profile} / {asked.data} / seed {asked.seed} on {asked.cores} core(s), in {folder}")
        swept = len(sweep_plan.cases(settings.memory)) if SWEEP in names else 0
        print(plan(names, asked.profile, {COMPARISON: len(jobs), SWEEP: swept}), flush=True)
        if any((folder / ".snakemake" / "locks").glob("*")):  # left by a killed run; the flock says that it is over
            subprocess.run(snakemake(folder, asked.cores, "--unlock"), check=True)
        started = time.monotonic()
        try:  # Snakemake inherits the lock: it stays held for as long as Snakemake lives, even if we are killed
            code = subprocess.run(snakemake(folder, asked.cores, *gpu_limit()), pass_fds=[lock.fileno()]).returncode
        except KeyboardInterrupt:
            print("\nstopped; the same command goes on from here.")
            return 130
        if code:
            tell_failure(folder, names)
            return 1
        print(f"all notebooks are up to date after {clock(time.monotonic() - started)}")
    if "07_evaluation" in names:
        from ..evaluation.report import print_table

        print_table(folder)
        print(folder / "report.html")
    return 0


def gpu_limit() -> list[str]:
    """On a machine with a GPU, notebooks take it in turns."""
    import torch

    return ["--resources", "gpu=1"] if torch.cuda.is_available() else []


if __name__ == "__main__":
    sys.exit(main())
