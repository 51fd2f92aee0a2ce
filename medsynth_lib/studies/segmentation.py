"""The comparison of notebook 06 as jobs: train one arm once and measure it; read what all jobs found.

usage: python -m medsynth_lib.studies.segmentation ARM SEGMENTER K --generators "vae edm" [--profile demo]
       [--data phantom] [--seed 0]

ARM is named as in `segmentation_plan`, with "_" for spaces: real, edm_only, real_+_edm, real10_+_3_edm, ...
Each job writes runs/<profile>/<data>/seed<seed>/arms/<SEGMENTER>/<ARM>/<K>/metrics.json, last and whole.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..core.checkpoints import CheckpointError, save_arrays
from ..core.locks import own_turn
from ..core.method import TrainingError
from ..core.parallel import completed
from ..data.augment import augment
from ..data.slices import DataError, SliceSet, hash_of
from ..evaluation import report
from ..experiment import options
from ..experiment.finished import mark_done
from ..experiment.profiles import SegmentationSizes
from ..experiment.run import Run, start
from ..metrics.surface import surface_per_subject
from . import segmentation_plan as plan
from .arms import both, fitted, keep_apart, measured, pooled, some_subjects
from .jobs import code, read
from .segmentation_plan import Arm, Job, folder_name

# Sizes that change a training
TRAINING = (
    *("steps", "batch_size", "channels", "learning_rate"),
    *("swin_width", "swin_learning_rate", "validation_slices"),
)


@dataclass(frozen=True)
class Sets:
    """What one arm is made from: real subjects for training and for validation, and each generator's slices, parted."""

    real: SliceSet
    real_validation: SliceSet
    synthetic: dict[str, SliceSet]
    synthetic_validation: dict[str, SliceSet]


def sets_of(run: Run, generators: dict[str, dict]) -> Sets:
    """The sets of a run; `generators` as `report.trained_generators` gives them."""
    samples = {name: SliceSet.load(metrics["folder"] / "samples") for name, metrics in generators.items()}
    cut = {name: round(len(slices) * (1 - plan.SYNTHETIC_VALIDATION)) for name, slices in samples.items()}
    return Sets(
        run.part("gen_train"),
        run.part("holdout"),
        {name: slices.select(np.arange(cut[name])) for name, slices in samples.items()},
        {name: slices.select(np.arange(cut[name], len(slices))) for name, slices in samples.items()},
    )


def stages(arm: Arm, sets: Sets, seed: int, validation: int = 0) -> list[tuple[SliceSet, SliceSet]]:
    """The arm's trainings, one or (bridged) two: the slices it learns from, and those by which weights are chosen.

    As in Akbar et al., synthetic slices choose where no real one is learned from; else real subjects, the holdout, who
    trained no generator. `seed` chooses the subjects where `arm.real` is less than 1; `validation` is at most so many
    slices (0 = all).
    """

    def some(slices: SliceSet) -> SliceSet:
        n = len(slices)
        return slices.select(np.linspace(0, n - 1, min(validation or n, n)).astype(int))

    out = []
    drawn = pooled([sets.synthetic[name] for name in arm.synthetic]) if arm.synthetic else None
    if arm.bridged or not arm.real:
        out.append((drawn, some(pooled([sets.synthetic_validation[name] for name in arm.synthetic]))))
    if arm.real:
        real = some_subjects(sets.real, arm.real, seed) if arm.real < 1 else sets.real
        mixed = real if drawn is None or arm.bridged else both(real, drawn, arm.amount)
        out.append((mixed, some(sets.real_validation)))
    return out


def train(
    arm: Arm, sets: Sets, test: SliceSet, sizes: SegmentationSizes, seed: int, folder: Path, segmenter: str = "unet"
) -> dict:
    """Train one arm; what `train_arm` returns for its last stage, with "stages": the record of each."""
    parts, people, records = stages(arm, sets, seed, sizes.validation_slices), set(sets.real.subjects.tolist()), []
    for training, validation in parts:
        keep_apart(test, training, validation)
    short = replace(sizes, steps=max(1, sizes.steps * arm.effort // len(parts)))
    for number, (training, validation) in enumerate(parts):
        net, record = fitted(
            training,
            short,
            seed,
            folder / f"stage{number}",
            augment=augment if arm.augment else None,
            start=folder / f"stage{number - 1}" if number else None,
            segmenter=segmenter,
            validation=validation,
        )
        kinds = Counter(subject in people for subject in set(training.subjects.tolist()))
        records.append({**record, "real_subjects": kinds[True], "synthetic_slices": kinds[False]})
    return {"record": record, "stages": records, **measured(net, test)}


def request(job: Job, arm: Arm, sizes: SegmentationSizes, data: dict, generators: dict[str, dict]) -> dict:
    """All that a job's result depends on (`data`: see `Run.data_hashes`); a result with another request is stale.

    A generator counts by its samples: trained again with the same ones, it changes nothing here.
    """
    samples = {name: hash_of(generators[name]["folder"] / "samples") for name in arm.synthetic}
    used = {name: getattr(sizes, name) for name in TRAINING}
    whole = {"job": asdict(job), "arm": asdict(arm), "sizes": used, "samples": samples, "code": code(), **data}
    return json.loads(json.dumps(whole))  # as it is read back


def measure(job: Job, profile: str, data: str, seed: int, generators: list[str]) -> None:
    """Train the job's arm (named as in the plan or as its folder) and write into it what the real test subjects say.

    A result that answers the same request is left as it is.
    `generators`: for those of the arm there must be samples, others only make their arms' names known.
    Raises ValueError for a job that is not in the plan, ReportError when samples are missing.
    """
    run = start(job.path, profile, data, seed)
    with own_turn(run.folder, job.path):
        sizes = run.settings.segmentation
        known = plan.arms(sizes, generators)
        names = {folder_name(name): name for name in known}
        if folder_name(job.arm) not in names:
            raise ValueError(f"unknown arm {job.arm!r}; known in this run: {', '.join(names)}.")
        job = replace(job, arm=names[folder_name(job.arm)])
        arm = known[job.arm]
        trained = report.trained_generators(run, arm.synthetic) if arm.synthetic else {}
        asked = request(job, arm, sizes, run.data_hashes(), trained)
        if read(run.folder, asked):
            print(f"{job.path} is there already, made from the same slices by the same code")
            mark_done(run.folder)
            return
        sets, test = sets_of(run, trained), run.part("test")
        found = train(arm, sets, test, sizes, run.seed_of(f"arm{job.k}"), run.folder, job.segmenter)
        tolerance = max(test.spacing)  # one pixel
        _, hd95, nsd = surface_per_subject(
            found["predictions"], test.labels, test.subjects, test.spacing, tolerance=tolerance
        )
        save_arrays(run.folder / "predictions.npz", labels=found["predictions"])
        per_subject = {"whole": found["whole"], "hd95_mm": hd95, "nsd": nsd, "per_label": found["per_label"]}
        run.finish(
            request=asked,
            subjects=found["subjects"],
            **{name: without_nan(values) for name, values in per_subject.items()},
            tolerance_mm=tolerance,
            training=found["stages"],
        )


def without_nan(values: np.ndarray) -> list:
    """Nested lists in which "no value" is None, for JSON knows no NaN."""
    return np.where(np.isnan(values), None, values).tolist()


def measured_before(folder: Path, asked: dict) -> dict | None:
    """What a job found, as arrays over test subjects; None when it has not finished or answered another request."""
    if not (found := read(folder, asked)):
        return None
    return found | {name: np.array(found[name], dtype=float) for name in ("whole", "per_label", "hd95_mm", "nsd")}


def results(run: Run, segmenters: tuple[str, ...] = ()) -> dict[Job, dict]:
    """What every job of the run's plan found; those that are missing or stale are trained now, side by side."""
    generators, sizes, data = report.trained_generators(run), run.settings.segmentation, run.data_hashes()
    known, planned = plan.arms(sizes, generators), plan.jobs(sizes, generators, segmenters)

    def look(job: Job) -> dict | None:
        return measured_before(run.root / job.path, request(job, known[job.arm], sizes, data, generators))

    where = (run.profile_source, run.data, run.seed, list(generators))
    return completed(planned, look, lambda job: partial(measure, job, *where))


def predictions(result: dict) -> np.ndarray:
    """Label maps uint8 [N, H, W] of the test slices, as one job (an entry of `results`) found them."""
    with np.load(result["folder"] / "predictions.npz", allow_pickle=False) as stored:
        return stored["labels"]


def main(arguments: list[str] | None = None) -> int:
    parser = options.Parser("python -m medsynth_lib.studies.segmentation", __doc__.splitlines()[0])
    parser.add_argument("arm", help='as in segmentation_plan, with "_" for spaces')
    parser.add_argument("segmenter", help="unet, dynunet or swin")
    parser.add_argument("k", type=options.whole(0), help="repetition, from 0 on")
    parser.add_argument("--generators", required=True, help="with spaces: the arm's own, and the one that is studied")
    options.add_run(parser)
    asked = parser.parse_args(arguments)
    job = Job(asked.segmenter, asked.arm, asked.k)
    try:
        measure(job, asked.profile, asked.data, asked.seed, asked.generators.split())
    except (ValueError, report.ReportError, DataError, CheckpointError, TrainingError) as error:
        print(f"{job.path}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
