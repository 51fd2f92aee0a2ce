"""Memorization by subjects, length and mitigation, as jobs: train one generator, audit its samples on the way.

usage: python -m medsynth_lib.studies.memorization CASE K [--profile demo] [--data phantom] [--seed 0]

CASE is named as in `memorization_plan`: edm-20-plain, dcgan-all-plain, edm-20-augmented, ...
Each job writes runs/<profile>/<data>/seed<seed>/memorization/<CASE>/<K>/metrics.json, as a whole, at its end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial

import numpy as np

from ..core.checkpoints import save_arrays
from ..core.locks import own_turn
from ..core.method import Method
from ..core.parallel import completed
from ..core.trainer import fit
from ..data import joint
from ..data.augment import random_affine
from ..data.slices import DataError, SliceSet
from ..experiment import options
from ..experiment.profiles import Profile
from ..experiment.run import Run, start
from ..metrics.diversity import neighbour_measures
from ..metrics.features import LayoutSpace, shrink
from ..metrics.memorization import copy_audit
from ..models.diffusion.edm import EDM, deviation
from ..models.gan.dcgan import DCGAN
from .jobs import code, kept, read, status
from .memorization_plan import THINNED, Case, case_of, cases

KEPT = ("percent", "ci95", "cut", "n")  # of an audit
PAIRS = 8  # nearest pairs that are kept as images, of different training slices


def small(slices: SliceSet, size: int) -> SliceSet:
    """The slices reduced by block means to at most `size` pixels, with the labels of every k-th pixel.

    Incomplete blocks at the lower and right edges are cut off images and labels.
    """
    factor = -(-slices.size // size)
    images = shrink(slices.images, size)
    rows, columns = (factor * n for n in images.shape[-2:])
    labels = None if slices.labels is None else slices.labels[:, :rows:factor, :columns:factor]
    spacing = tuple(factor * x for x in slices.spacing)
    return replace(slices, images=images, labels=labels, spacing=spacing)


def training_set(train: SliceSet, case: Case, seed: int) -> SliceSet:
    """The slices of the case's subjects. With one seed, fewer subjects are a subset of more.

    "thinned": THINNED times the subjects, every THINNED-th slice of each: as many slices, but no adjacent ones.
    """
    subjects = np.random.default_rng(seed).permutation(train.unique_subjects())
    wanted = (case.subjects or len(subjects)) * (THINNED if case.mitigation == "thinned" else 1)
    if wanted > len(subjects):
        raise DataError(
            f"{case.name} asks for {wanted} subjects, but only {len(subjects)} are there; use more subjects."
        )
    chosen = train.of_subjects(subjects[:wanted])
    if case.mitigation != "thinned":
        return chosen
    own = [np.flatnonzero(chosen.subjects == name)[::THINNED] for name in chosen.unique_subjects()]
    return chosen.select(np.concatenate(own))


def build(case: Case, settings: Profile, shape: joint.Shape, tensors: dict) -> Method:
    """The case's generator, untrained; "small" has half as many channels."""
    sizes, share = settings.memorization, 2 if case.mitigation == "small" else 1
    if case.generator == "dcgan":
        gan = settings.dcgan
        background = round(float((tensors["labels"] == 0).float().mean()), 3)
        rate = {"learning_rate": gan.learning_rate, "background": background}
        return DCGAN(**vars(shape), width=gan.width // share, latent=gan.latent, **rate)
    pixel = settings.diffusion
    return EDM(
        **vars(shape),
        sigma_data=deviation(tensors, shape.labels),
        p_mean=sizes.p_mean,
        p_std=sizes.p_std,
        prediction_type=pixel.prediction_type,
        patch=sizes.patch,
        widths=[width // share for width in sizes.widths],
        learning_rate=pixel.learning_rate,
        solver_steps=pixel.solver_steps,
    )


def watch(own: SliceSet, holdout: SliceSet, seed: int, n_eval_samples: int) -> Callable[[Method], dict]:
    """A monitor for `fit`: percent of samples flagged as copies of `own`, with interval, and recall of the holdout.

    It selects no weights: the last ones are published.
    """
    layout = LayoutSpace(own.images, dimensions=min(12, len(own) - 1))
    coarse = layout(holdout.images)

    def evaluate(method: Method) -> dict:
        images = method.sample(n_eval_samples, seed)[0].cpu().numpy()
        audit = copy_audit(images, own, holdout, seed)
        found = {f"{null}_{key}": audit[null][key] for null in ("smooth", "plain") for key in KEPT}
        return {**found, "recall": neighbour_measures(coarse, layout(images))["recall"]}

    return evaluate


def measure(case: Case, profile: str, data: str, seed: int) -> None:
    """Train one case and write the copies flagged during and after training, and the nearest pairs.

    A result of the same request is kept.
    """
    run = start(case.path, profile, data, seed)
    with own_turn(run.folder, case.path):
        asked = request(case, run.settings, run.data_hashes())
        if kept(run.folder, case.path, asked):
            return
        sizes = run.settings.memorization
        holdout = small(run.part("holdout"), sizes.image_size)
        own = small(training_set(run.part("gen_train"), case, run.seed_of(f"people{case.k}")), sizes.image_size)
        shape, tensors = joint.shape_of(own), joint.tensors_of(own)
        run.seed_all(f"init{case.k}")
        method = build(case, run.settings, shape, tensors)
        record = fit(
            method,
            tensors,
            run.folder,
            images=sizes.images,
            batch_size=sizes.batch_size,
            seed=run.seed_of(f"fit{case.k}"),
            augment=random_affine if case.mitigation == "augmented" else None,
            ema_images=sizes.images / 20,
            monitor=watch(own, holdout, run.seed_of("look"), sizes.n_eval_samples),
        )
        images = method.sample(2 * sizes.n_eval_samples, run.seed_of("end"))[0].cpu().numpy()
        audit = copy_audit(images, own, holdout, run.seed_of("audit"))
        order = np.argsort(-audit["r"])
        _, first = np.unique(audit["nearest"][order], return_index=True)  # each training slice once, with its nearest
        pairs = order[np.sort(first)][:PAIRS]
        save_arrays(run.folder / "nearest.npz", drawn=images[pairs], training=own.images[audit["nearest"][pairs]])
        lines = (run.folder / "monitor.jsonl").read_text(encoding="utf-8").splitlines()
        run.finish(
            request=asked,
            slices=len(own),
            subjects=len(own.unique_subjects()),
            training=record,
            evaluations=[json.loads(line) for line in lines],
            **{null: {key: audit[null][key] for key in KEPT} for null in ("smooth", "plain")},
        )


def request(case: Case, settings: Profile, data: dict[str, str]) -> dict:
    """All that a case's result depends on; a result with another request is stale."""
    sizes = {name: asdict(getattr(settings, name)) for name in ("memorization", "diffusion", "dcgan")}
    for name in ("subjects", "mitigated", "seeds"):  # they only say which other cases there are
        del sizes["memorization"][name]
    return json.loads(json.dumps({"case": asdict(case), "sizes": sizes, "code": code(), **data}))  # as it is read back


def results(run: Run) -> dict[Case, dict]:
    """The results of all cases in the run's plan; those that are missing or stale are trained now, side by side."""
    planned, data = cases(run.settings.memorization), run.data_hashes()

    def find(case: Case) -> dict | None:
        return read(run.root / case.path, request(case, run.settings, data))

    return completed(planned, find, lambda case: partial(measure, case, run.profile_source, run.data, run.seed))


def nearest(result: dict) -> tuple[np.ndarray, np.ndarray]:
    """Samples and their nearest training slices, the closest first: two arrays [at most PAIRS, C, H, W]."""
    with np.load(result["folder"] / "nearest.npz", allow_pickle=False) as stored:
        return stored["drawn"], stored["training"]


def main(arguments: list[str] | None = None) -> int:
    parser = options.Parser("python -m medsynth_lib.studies.memorization", __doc__.splitlines()[0])
    parser.add_argument("case", help="as in memorization_plan: GENERATOR-SUBJECTS-MITIGATION")
    parser.add_argument("k", type=options.whole(0), help="repetition, from 0 on")
    options.add_run(parser)
    asked = parser.parse_args(arguments)
    return status(
        f"memorization/{asked.case}/{asked.k}",
        lambda: measure(case_of(asked.case, asked.k), asked.profile, asked.data, asked.seed),
    )


if __name__ == "__main__":
    sys.exit(main())
