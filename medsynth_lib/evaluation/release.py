"""A generator's samples as a data set to share: NIfTI in the Decathlon's layout, a card, checksums; or a refusal.

usage: python -m medsynth_lib.evaluation.release GENERATOR [--profile demo] [--data phantom] [--seed 0] [--force]

It needs a finished run (`make reproduce`): what the card says was measured there, and nothing is released whose audit
found more copies of training images than chance allows, or whose audit found nothing when copies were planted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from ..core.checkpoints import CheckpointError, file_hash, write_atomically, write_json
from ..data.preprocess import from_axial
from ..data.slices import DataError, SliceSet
from ..experiment.run import run_folder
from .report import ReportError, cell, generators_in, read_report, refuse_other_samples

PLANTED = 90.0  # per cent of planted exact copies that an audit must have found to be believed
GREY = 1_000  # whole numbers for the grey values from -1 to 1; the header scales them back

CARD = """# Synthetic slices by {generator}

{warning}{n:,} synthetic slices of {slices.size} x {slices.size} pixels, with masks; a pixel is {slices.spacing[0]:g} x
{slices.spacing[1]:g} mm. **Drawn by a model, not acquired from a person; not for diagnosis.**

- Channels: {channel_list}. Labels: {label_list}.
- Grey values are in [-1, 1] (stored in {grey:,} steps).
- Learned from: {source}, {run[subjects][gen_train]} subjects, {train_unique_images:,} slices, {train_images:,} seen.
- Made by medsynth, commit {run[commit]}, profile {run[profile]}, seed {run[seed]}, data {run[data_hash]}, split
  {run[split_hash]}, torch {run[versions][torch]}.
- Licence: {slices.licence}. What is derived from licensed images stays under their licence.
- Meant for: {slices.intended_use}.

## What they are worth

Dice of a segmenter on {run[subjects][test]} real test subjects who touched nothing else, mean and 95 % interval over
subjects (a dash, here and below: not measured):

| trained on real | on these only | ratio | on both |
|---|---|---|---|
| {dice_real} | {dice_synthetic} | {dice_ratio} | {dice_both} |

Frechet distance to held-out real subjects, in units of that of other real subjects: {times_floor_wavelets:.1f} by
wavelets, {times_floor_radiomics:.1f} by radiomics, {times_floor_encoder:.1f} by a trained encoder. Anatomically
impossible masks {impossible_percent} % (real {impossible_percent_real} %), empty ones {empty_percent} % (real
{empty_percent_real} %).

## Copies of training images

Flagged by correlation of grey values: {copies_flagged_percent:.1f} % [{copies_ci95[0]:.1f}, {copies_ci95[1]:.1f}], by
the cosine of an encoder's features: {cosine_flagged_percent:.1f} % [{cosine_ci95[0]:.1f}, {cosine_ci95[1]:.1f}];
{copies_expected_percent:.0f} % is expected of images of people never seen. Copies planted to test the audit and found
by either: {planted}. The strongest attack on membership reached an AUC of {membership_auc[mean]:.2f}
[{membership_auc[ci95][0]:.2f}, {membership_auc[ci95][1]:.2f}]; members against members reach
{membership_control[0]:.2f} to {membership_control[1]:.2f} by chance.

The audit bounds what two searches find (how many of the planted copies in each disguise: see above), and it proves no
anonymity. Only training with differential
privacy, which was not used, gives a guarantee.
"""


class ReleaseError(RuntimeError):
    """These samples should not be shared; the sentence says why."""


def objections(record: dict, slices: SliceSet) -> list[str]:
    """Why this generator's samples should not be shared, from its line of report.json; empty when nothing speaks up."""
    found = []
    expected = record["copies_expected_percent"]
    for rule, key in (("correlation", "copies"), ("cosine", "cosine")):
        share, (low, _) = record[f"{key}_flagged_percent"], record[f"{key}_ci95"]
        if low > expected:
            found.append(
                f"the audit by {rule} flags {share:.1f} % as copies of training images, at least {low:.1f} %, where "
                f"{expected:.0f} % is expected of images of people never seen"
            )
    planted = record["planted_copies_found_percent"]["exact"]
    if planted < PLANTED:
        found.append(f"the audit found only {planted:.0f} % of the exact copies planted to test it")
    if slices.labels is None:
        found.append("there are no masks, which this layout is for")
    return found


def release(run: Path, generator: str, force: bool = False) -> Path:
    """Write `run`/release/<generator> from the samples of this generator; the folder appears whole or not at all.

    Raises ReportError when the run is not finished or knows no such generator, DataError for damaged samples, and
    ReleaseError when something speaks against sharing them. `force` releases all the same and says so in the card.
    """
    report, trained = read_report(run), generators_in(run)
    records = {record["generator"]: record for record in report["generators"]}
    if generator not in records or generator not in trained:
        known = ", ".join(sorted(records.keys() & trained.keys()))
        raise ReportError(f"{run} holds no generator {generator!r} that was evaluated; known: {known}.")
    record, metrics = records[generator], trained[generator]
    training, judged = metrics["training"], metrics.get("beside", {}).get("samples_hash")
    now = (training["code"], training["seconds"], judged)
    if (record["train_code"], record["train_seconds"], record.get("samples_hash")) != now:
        raise ReportError(f"{generator} was trained or sampled again after the report; run 07_evaluation again.")
    refuse_other_samples(metrics)
    slices = SliceSet.load(metrics["folder"] / "samples")
    against = objections(record, slices)
    if slices.labels is None or against and not force:
        raise ReleaseError(f"{generator} is not released: {'; '.join(against)}.")
    folder = run / "release" / generator
    part = folder.with_name(f"{generator}.part")
    shutil.rmtree(part, ignore_errors=True)
    names = write_images(slices, part)
    write_json(part / "dataset.json", description(slices, names, generator, report["run"]))
    text = card(slices, record, report["run"], against)
    write_atomically(part / "README.md", lambda path: path.write_text(text, encoding="utf-8"))
    sums = [f"{file_hash(path)}  {path.relative_to(part)}\n" for path in sorted(part.rglob("*")) if path.is_file()]
    write_atomically(part / "SHA256SUMS", lambda path: path.write_text("".join(sums), encoding="utf-8"))
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return folder


def write_images(slices: SliceSet, folder: Path) -> list[str]:
    """One image and one label per synthetic slice, in imagesTr/ and labelsTr/; their names.

    Images [X, Y, 1] or [X, Y, 1, C], labels [X, Y, 1], in RAS order. A slice has no thickness; the header says 1 mm.
    """
    affine = np.diag([slices.spacing[1], slices.spacing[0], 1.0, 1.0])
    names = [f"{subject}.nii.gz" for subject in slices.subjects]
    for sub in ("imagesTr", "labelsTr"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for name, image, label in zip(names, slices.images, slices.labels, strict=True):
        whole = np.round((np.asarray(image) + 1) / 2 * GREY).astype(np.int16)
        voxels = np.moveaxis(from_axial(whole[None]), 0, -1)  # [X, Y, 1, C]
        picture = nib.Nifti1Image(voxels if len(image) > 1 else voxels[..., 0], affine)
        picture.header.set_slope_inter(2 / GREY, -1)
        nib.save(picture, folder / "imagesTr" / name)
        nib.save(nib.Nifti1Image(from_axial(np.asarray(label)[None]), affine), folder / "labelsTr" / name)
    return names


def description(slices: SliceSet, names: list[str], generator: str, run: dict) -> dict:
    """dataset.json, with the Decathlon's keys; `run` is the report's record of the run."""
    return {
        "name": f"synthetic {run['data']} slices by {generator}",
        "description": f"SYNTHETIC images and masks. {slices.intended_use}. See README.md.",
        "reference": slices.source,
        "licence": slices.licence,
        "release": f"medsynth {run['commit']}, seed {run['seed']}",
        "tensorImageSize": "4D" if len(slices.channels) > 1 else "3D",
        "modality": {str(k): name for k, name in enumerate(slices.channels)},
        "labels": {str(k): name for k, name in enumerate(slices.label_names)},
        "numTraining": len(slices),
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": [],
    }


def card(slices: SliceSet, record: dict, run: dict, against: list[str]) -> str:
    """The card (Markdown): what it is, what it is worth, what the audit found, what it must not be used for."""
    dice = ("dice_real", "dice_synthetic", "dice_ratio", "dice_both")
    planted, shares = record["planted_copies_found_percent"], ("impossible_percent", "empty_percent")
    masks = {key: cell(record["masks"].get(key), "{:.1f}") for name in shares for key in (name, f"{name}_real")}
    return CARD.format(
        **{**record, **masks, **{name: cell(record[name], "interval") for name in dice}},
        run=run,
        slices=slices,
        n=len(slices),
        grey=GREY,
        warning=f"> **Released by force.** Against it speaks: {'; '.join(against)}.\n\n" if against else "",
        source=slices.source.split(" / ")[0],
        channel_list=", ".join(slices.channels),
        label_list=", ".join(f"{k} {name}" for k, name in enumerate(slices.label_names)),
        planted=", ".join(f"{kind} {found:.0f} %" for kind, found in planted.items()),
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="release", description=__doc__.splitlines()[0])
    parser.add_argument("generator", help="as report.json names it, e.g. edm")
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--force", action="store_true", help="release all the same; the card says so")
    asked = parser.parse_args(arguments)
    try:
        folder = release(run_folder(asked.profile, asked.data, asked.seed), asked.generator, asked.force)
    except (ReleaseError, ReportError, DataError, CheckpointError, json.JSONDecodeError) as error:
        print(error)
        return 2
    except OSError as error:
        print(f"the release could not be written ({error}); free space on the disk or set MEDSYNTH_RUNS elsewhere.")
        return 2
    print(f"{folder}: read README.md before you share it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
