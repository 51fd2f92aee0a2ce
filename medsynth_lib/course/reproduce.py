"""`make reproduce`: check the request, print the plan, let Snakemake run the notebooks, print the results.

usage: python -m medsynth_lib reproduce --profile demo --data phantom --seed 0 --cores 2 --notebooks core
       [--segmenters "unet swin"] [--dry-run]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from ..core.checkpoints import CheckpointError, write_json
from ..core.locks import LOCK, Taken, lock
from ..core.progress import clock
from ..data import registry
from ..data.slices import DataError
from ..experiment import disk, options, source
from ..experiment.finished import DONE, is_done
from ..experiment.profiles import Profile, minutes, profile
from ..studies import memorization_plan, segmentation_plan
from . import scheduler
from .notebooks import CORE, MEMORIZATION, SEGMENTATION, select, trained_by
from .requests import refuse_impossible

# The folders of the trainings that are jobs of their own, by notebook
TRAININGS = {SEGMENTATION: ("own/*/*", "arms/*/*/*"), MEMORIZATION: ("memorization/*/*",)}


def plan(names: list[str], profile_name: str, trainings: dict[str, int]) -> str:
    """What runs and for how long, as far as measured, as text; `trainings`: separate jobs by notebook."""
    measured = minutes(profile_name)
    each = [measured.get(name) for name in names]
    known = [m for m in each if m is not None]
    lines = [
        f"  {name:18s} {'about ' + format(m, 'g') + ' min' if m is not None else 'not measured yet'}"
        for name, m in zip(names, each, strict=True)
    ]
    lines += [
        f"  ({name}: with its {count} trainings, each a job of its own)" for name, count in trainings.items() if count
    ]
    total = measured.get("together")
    if total is not None and set(names) >= set(CORE):
        end = time.strftime("%H:%M", time.localtime(time.time() + 60 * total))
        lines.append(f"  together about {total:g} minutes on 2 cores (generators side by side): done around {end}")
    elif len(known) == len(names):
        lines.append(f"  together at most {sum(known):g} minutes on 2 cores")
    return "\n".join(lines)


def forget_changed(folder: Path, data: str) -> None:
    """Remove `done.json` of jobs whose result, samples or weights changed since it was written: they run again.

    Of 00_data also when files of the source `data` changed: Snakemake then repeats whatever was made from it.
    """
    first = folder / "00_data" / DONE
    if first.is_file() and (changed := source.changes(first.parent, data)[0]):
        print(f"{changed} since 00_data was made: it runs again, and so do the notebooks that read it")
        first.unlink()
    jobs = ("*", *(where for trainings in TRAININGS.values() for where in trainings))
    for note in [note for job in jobs for note in sorted(folder.glob(f"{job}/{DONE}"))]:
        if not is_done(note.parent):
            print(f"{note.parent.relative_to(folder)} changed since it was finished, and runs again")
            note.unlink()


def tell_failure(folder: Path, names: list[str]) -> None:
    """Print which notebooks or trainings failed, with the last line and the path of their logs."""
    if disk.is_full(folder):  # then the logs may not say so
        print(f"\nthe disk of {folder} is full; free space, or set MEDSYNTH_RUNS to a folder on another disk")
    logs = [folder / name / "log.txt" for name in names]
    for name, trainings in TRAININGS.items():
        logs += [log for where in trainings for log in sorted(folder.glob(f"{where}/log.txt"))] if name in names else []
    for log in logs:
        if log.is_file() and not log.with_name(DONE).is_file():
            last = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
            print(f"\n{log.parent.relative_to(folder)} did not finish: {last[-1] if last else 'no output'}")
            print(f"  log: {log}")
            if (notebook := log.with_name("executed.ipynb")).is_file():
                print(f"  partial notebook: {notebook}")
    print("Run the same command again to continue: finished notebooks and trained models are kept.")


def main(arguments: list[str] | None = None) -> int:
    asked = options.reproduce().parse_args(arguments)
    try:
        settings = profile(asked.profile)
        asked.data = registry.resolved(asked.data)  # for jobs, which run in other folders
        names = select(asked.notebooks)
        refuse_impossible(names, asked.profile, asked.data)
        segmentation_plan.check(asked.segmenters.split(), settings.data.image_size)
    except ValueError as error:
        print(error)
        return 2

    from ..experiment.run import run_folder  # torch is imported only for a valid request

    folder = run_folder(asked.profile, asked.data, asked.seed)
    try:
        with lock(folder / LOCK):
            if scheduler.is_at_work(folder):
                raise Taken("Snakemake")
            code = carry_out(asked, settings, names, folder)
    except Taken as holder:
        print(f"another run ({holder}) is using {folder}; wait for it or choose another SEED.")
        return 2
    except (CheckpointError, DataError) as error:
        print(error)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command continues from here.")
        return 130
    if code == 0 and not asked.dry_run and "07_evaluation" in names:
        from ..evaluation.report import print_table

        print_table(folder)
        print(folder / "report.html")
    return code


def carry_out(asked: argparse.Namespace, settings: Profile, names: list[str], folder: Path) -> int:
    """Let Snakemake run (in a dry run: list) what is missing of these notebooks; returns the exit code."""
    generators = [made for name in names for made in trained_by(name, settings)]
    segmenters = asked.segmenters.split()
    jobs, own = [], []
    if SEGMENTATION in names:
        jobs = segmentation_plan.jobs(settings.segmentation, generators, segmenters)
        own = segmentation_plan.own_generators(settings.segmentation, generators)
    wish = {"profile": asked.profile, "data": asked.data, "seed": asked.seed, "notebooks": names}
    write_json(folder / "config.json", {**wish, "segmenters": asked.segmenters})
    forget_changed(folder, asked.data)
    if asked.dry_run:
        if jobs:
            from ..studies.estimate import estimate  # imports torch, and trains for seconds

            print(estimate(settings, generators, jobs), flush=True)
        return scheduler.run(folder, asked.cores, "--dry-run", quiet="rules")
    print(f"{asked.profile} / {asked.data} / seed {asked.seed} on {asked.cores} core(s), in {folder}")
    cases = len(memorization_plan.cases(settings.memorization)) if MEMORIZATION in names else 0
    print(plan(names, asked.profile, {SEGMENTATION: len(jobs) + len(own), MEMORIZATION: cases}), flush=True)
    if any((folder / ".snakemake" / "locks").glob("*")):  # left by a killed run; our own lock says that it is over
        scheduler.run(folder, asked.cores, "--unlock")
    started = time.monotonic()
    if scheduler.run(folder, asked.cores, *gpu_limit()):
        tell_failure(folder, names)
        return 1
    print(f"all notebooks are up to date after {clock(time.monotonic() - started)}")
    return 0


def gpu_limit() -> list[str]:
    """Snakemake's options by which notebooks use a GPU one at a time."""
    import torch

    return ["--resources", "gpu=1"] if torch.cuda.is_available() else []


if __name__ == "__main__":
    sys.exit(main())
