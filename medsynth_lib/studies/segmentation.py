"""The comparison of notebook 06 as jobs: train and evaluate one arm; read the results of all jobs.

usage: python -m medsynth_lib.studies.segmentation ARM SEGMENTER K --generators "vae edm" [--profile demo]
       [--data phantom] [--seed 0]

ARM is named as in `segmentation_plan`, with "_" for spaces: real, edm_only, real_+_edm, real9_+_3_edm, ...
Each job writes runs/<profile>/<data>/seed<seed>/arms/<SEGMENTER>/<ARM>/<K>/metrics.json, as a whole, at its end.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..core.checkpoints import save_arrays
from ..core.locks import own_turn
from ..core.parallel import completed
from ..data.augment import augment
from ..data.slices import SliceSet, hash_of
from ..evaluation import report
from ..experiment import options
from ..experiment.profiles import SegmentationSizes
from ..experiment.run import Run, start
from ..metrics.surface import surface_per_subject
from ..models.registry import load
from ..models.segmentation.segmenter import Segmenter
from . import own_generators, segmentation_plan
from .arms import both, fine_tuned, fitted, keep_apart, measured, pooled, some_subjects
from .jobs import code, kept, read, status
from .segmentation_plan import Arm, Job, folder_name

# Sizes that change a training
TRAINING = (
    *("steps", "batch_size", "widths", "learning_rate"),
    *("swin_width", "swin_learning_rate", "validation_slices"),
)
PER_SUBJECT = ("whole", "per_label", "false_mm2", "hd95_mm", "nsd")  # arrays over test subjects in a job's result


@dataclass(frozen=True)
class Sets:
    """What arms are composed of: real slices and those of each generator, both for training and for validation."""

    real: SliceSet
    real_validation: SliceSet
    synthetic: dict[str, SliceSet]
    synthetic_validation: dict[str, SliceSet]


def sets_of(run: Run, generators: dict[str, dict]) -> Sets:
    """The sets of a run; `generators` as `report.trained_generators` gives them."""
    samples = {name: SliceSet.load(metrics["folder"] / "samples") for name, metrics in generators.items()}
    cut = {name: round(len(slices) * (1 - segmentation_plan.SYNTHETIC_VALIDATION)) for name, slices in samples.items()}
    return Sets(
        run.part("gen_train"),
        run.part("holdout"),
        {name: slices.select(np.arange(cut[name])) for name, slices in samples.items()},
        {name: slices.select(np.arange(cut[name], len(slices))) for name, slices in samples.items()},
    )


def stages(arm: Arm, sets: Sets, seed: int, validation: int = 0) -> list[tuple[SliceSet, SliceSet]]:
    """The arm's trainings, one or (bridged) two: the training slices, and those by which weights are selected.

    As in Akbar et al., synthetic slices select the weights where training uses no real ones; otherwise the holdout
    does, real subjects that trained no generator: no more of them than the arm has for training, because who has few
    labels has no more for validation. `seed` chooses the subjects where `arm.subjects` is a number; `validation` is the
    largest number of slices for selection (0 = all).
    """

    def some(slices: SliceSet) -> SliceSet:
        n = len(slices)
        return slices.select(np.linspace(0, n - 1, min(validation or n, n)).astype(int))

    out = []
    drawn = pooled([sets.synthetic[name] for name in arm.synthetic]) if arm.synthetic else None
    if arm.bridged or arm.subjects == 0:
        out.append((drawn, some(pooled([sets.synthetic_validation[name] for name in arm.synthetic]))))
    if arm.subjects != 0:
        real = some_subjects(sets.real, arm.subjects, seed)
        mixed = real if drawn is None or arm.bridged else both(real, drawn, arm.amount)
        out.append((mixed, some(some_subjects(sets.real_validation, arm.subjects, seed))))
    return out


def relabelled(
    sets: Sets, names: tuple[str, ...], sizes: SegmentationSizes, seed: int, folder: Path, segmenter: str
) -> tuple[Sets, dict]:
    """`sets` whose synthetic slices of the generators `names` have labels predicted by a segmenter of all real slices.

    Generated labels may not fit their images; these do, as far as the segmenter is right. Also the record of its
    training, in `folder`.
    """
    ((training, validation),) = stages(Arm(), sets, seed, sizes.validation_slices)
    net, record = fitted(training, sizes, seed, folder, segmenter=segmenter, validation=validation)

    def seen(slices: dict[str, SliceSet]) -> dict[str, SliceSet]:
        images = {name: torch.from_numpy(np.array(slices[name].images)) for name in names}
        return slices | {name: replace(slices[name], labels=net.predict(images[name]).numpy()) for name in names}

    synthetic, kept_apart = seen(sets.synthetic), seen(sets.synthetic_validation)
    return replace(sets, synthetic=synthetic, synthetic_validation=kept_apart), record


def train(
    arm: Arm, sets: Sets, test: SliceSet, sizes: SegmentationSizes, seed: int, folder: Path, segmenter: str = "unet"
) -> dict:
    """Train one arm; what `train_arm` returns for its last stage, with "stages": the record of each.

    "labeller" is the record of the segmenter that predicted the labels, None for arms with generated ones.
    """
    labeller = None
    if arm.relabelled:
        sets, labeller = relabelled(sets, arm.synthetic, sizes, seed, folder / "labeller", segmenter)
    parts, subjects, records = stages(arm, sets, seed, sizes.validation_slices), set(sets.real.subjects.tolist()), []
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
        kinds = Counter(subject in subjects for subject in set(training.subjects.tolist()))
        records.append({**record, "real_subjects": kinds[True], "synthetic_slices": kinds[False]})
    return {"record": record, "stages": records, "labeller": labeller, **measured(net, test)}


def request(job: Job, arm: Arm, sizes: SegmentationSizes, data: dict, generators: dict[str, dict]) -> dict:
    """All that a job's result depends on (`data`: see `Run.data_hashes`); a result with another request is stale.

    A generator enters by its samples only: a new training with equal samples changes nothing here.
    """
    samples = {name: hash_of(generators[name]["folder"] / "samples") for name in arm.synthetic}
    used = {name: getattr(sizes, name) for name in TRAINING}
    whole = {"job": asdict(job), "arm": asdict(arm), "sizes": used, "samples": samples, "code": code(), **data}
    return json.loads(json.dumps(whole))  # as it is read back


def measure(job: Job, profile: str, data: str, seed: int, generators: list[str]) -> None:
    """Train the job's arm (named as in the plan or as its folder) and write its results on the real test subjects.

    A result of the same request is kept.
    generators  those of the arm need samples; the others only make their arms' names known
    Raises ValueError for a job that is not in the plan, ReportError when samples are missing.
    """
    run = start(job.path, profile, data, seed)
    with own_turn(run.folder, job.path):
        sizes = run.settings.segmentation
        known = segmentation_plan.arms(sizes, generators)
        names = {folder_name(name): name for name in known}
        if folder_name(job.arm) not in names:
            raise ValueError(f"unknown arm {job.arm!r}; known in this run: {', '.join(names)}.")
        job = replace(job, arm=names[folder_name(job.arm)])
        arm = known[job.arm]
        trained = sources(run, arm, job.k)
        asked = request(job, arm, sizes, run.data_hashes(), trained)
        if kept(run.folder, job.path, asked):
            return
        sets, test = sets_of(run, trained), run.part("test")
        found = train(arm, sets, test, sizes, run.seed_of(f"arm{job.k}"), run.folder, job.segmenter)
        tolerance = max(test.spacing)  # one pixel
        _, hd95, nsd = surface_per_subject(
            found["predictions"], test.labels, test.subjects, test.spacing, tolerance=tolerance
        )
        save_arrays(run.folder / "predictions.npz", labels=found["predictions"])
        found |= {"hd95_mm": hd95, "nsd": nsd}
        run.finish(
            request=asked,
            subjects=found["subjects"],
            **{name: without_nan(found[name]) for name in PER_SUBJECT},
            tolerance_mm=tolerance,
            training=found["stages"],
            labeller=found["labeller"],
        )


def without_nan(values: np.ndarray) -> list:
    """Nested lists with None for NaN, which JSON does not have."""
    return np.where(np.isnan(values), None, values).tolist()


def measured_before(folder: Path, asked: dict) -> dict | None:
    """A job's result as arrays over test subjects; None if it has not finished or belongs to another request."""
    if not (found := read(folder, asked)):
        return None
    return found | {name: np.array(found[name], dtype=float) for name in PER_SUBJECT}


def sources(run: Run, arm: Arm, k: int, shared: dict[str, dict] | None = None) -> dict[str, dict]:
    """The generators of an arm, {name: its metrics with "folder"}: those of the run, and `own_generators`.

    `shared` are those of the run, where they were read already. Raises ReportError when one was not trained yet.
    """
    own = own_generators.of(run, k)
    found = {name: own_generators.found(run, own[name]) for name in arm.synthetic if name in own}
    others = tuple(name for name in arm.synthetic if name not in own)
    return found | (report.trained_generators(run, others) if others and shared is None else shared or {})


def results(run: Run, segmenters: tuple[str, ...] = ()) -> dict[Job, dict]:
    """The results of all jobs in the run's plan; those that are missing or stale are trained now, side by side."""
    generators, sizes, data = report.trained_generators(run), run.settings.segmentation, run.data_hashes()
    known, planned = segmentation_plan.arms(sizes, generators), segmentation_plan.jobs(sizes, generators, segmenters)
    own_generators.results(run, generators)  # first, because arms learn from their samples

    def find(job: Job) -> dict | None:
        arm = known[job.arm]
        asked = request(job, arm, sizes, data, sources(run, arm, job.k, generators))
        return measured_before(run.root / job.path, asked)

    where = (run.profile_source, run.data, run.seed, list(generators))
    return completed(planned, find, lambda job: partial(measure, job, *where))


def predictions(result: dict) -> np.ndarray:
    """Label maps uint8 [N, H, W] of the test slices, predicted by one job (an entry of `results`)."""
    with np.load(result["folder"] / "predictions.npz", allow_pickle=False) as stored:
        return stored["labels"]


def segmenter(result: dict) -> Segmenter:
    """The trained network of one job (an entry of `results`), in evaluation mode."""
    last = len(result["training"]) - 1
    first, stage = (result["folder"] / f"stage{k}" for k in (0, last))
    return load(fine_tuned(stage, first) if last else stage, "segmenter")


def main(arguments: list[str] | None = None) -> int:
    parser = options.Parser("python -m medsynth_lib.studies.segmentation", __doc__.splitlines()[0])
    parser.add_argument("arm", help='as in segmentation_plan, with "_" for spaces')
    parser.add_argument("segmenter", help="unet, dynunet or swin")
    parser.add_argument("k", type=options.whole(0), help="repetition, from 0 on")
    parser.add_argument(
        "--generators", required=True, help="separated by spaces: the arm's own, and the one that is studied"
    )
    options.add_run(parser)
    asked = parser.parse_args(arguments)
    job = Job(asked.segmenter, asked.arm, asked.k)
    generators = asked.generators.split()
    return status(job.path, lambda: measure(job, asked.profile, asked.data, asked.seed, generators))


if __name__ == "__main__":
    sys.exit(main())
