"""Cards of a run: one per generator (model cards, Mitchell et al. 2019), one of the data (Gebru et al. 2021).

All values come from the records of the run. Each card is written as Markdown and, for programs, as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.checkpoints import write_atomically, write_json
from ..data.registry import without_folders
from ..data.slices import PARTS, SliceSet
from .report import cell

MODEL = """# Model card: {generator}

Generates slices of {size} x {size} pixels ({channels}) with masks ({labels}). For teaching and research on methods.
**Not for diagnosis, not for decisions about any subject.**

## Training

{parameters:,} parameters; trained on {train_images:,} images ({train_unique_images:,} different ones, of {subjects}
subjects) in {train_seconds:,.0f} s on {train_device}. {origin}.

## Results

| | this generator | for comparison |
|---|---|---|
| Dice of a segmenter trained on its slices only | {dice_synthetic} | on real slices {dice_real} |
| ratio of these Dice scores | {dice_ratio} | |
| the same ratio, by the mean over labels | {dice_ratio_of_labels} | |
| how well labels fit their images, relative to real ones | {labels_fit} | real 1 |
| Frechet distance / floor: wavelets, radiomics, encoder | {times_floor} | other real subjects 1 |
| coverage of held-out subjects | {coverage} | other real subjects {coverage_real} |
| flagged as copies by correlation | {copies} | expected {copies_expected_percent:.0f} % |
| flagged as copies by cosine | {cosine} | expected {copies_expected_percent:.0f} % |
| AUC of the strongest membership attack | {attack} | members against members {control} |
| impossible masks, % | {impossible} | real masks {impossible_real} |

## By subgroup

{subgroups}

## Limits

- The audit searches for copies of training slices by correlation and by cosine. Of the copies planted to test it, it
  found: {planted}. Other modifications of copies were not tested. A low percentage of flagged slices does not prove
  anonymity; only training with differential privacy, which was not used, gives a guarantee.
- Subgroups that are rare among the training subjects may be even rarer among the samples: see the table above before
  mixing these slices into a training set. Age, sex and origin of the subjects are unknown and were not evaluated.
- Trained on {source} only. Other scanners, protocols and diseases were not evaluated.
"""

DATA = """# Data card: {source}

{n:,} slices of {size} x {size} pixels ({channels}), {spacing}; labels: {labels}. {parts}.
Split by subject before any training; the test subjects are used only by `06_segmentation`.

Licence: {licence}. Intended use: {intended_use}. {origin}.

## Processing

{processing}

## By subgroup

{subgroups}
"""


def origin(run: dict) -> str:
    """Commit, profile, data, split, seed and torch version of a run (its record), in one line."""
    return (
        f"Commit {run['commit']}, profile {run['profile']}, data {without_folders(run['data'])} ({run['data_hash']}), "
        f"split {run['split_hash']}, seed {run['seed']}, torch {run['versions']['torch']}"
    )


def subgroup_table(groups: dict[str, dict[str, float]]) -> str:
    """{group: {column: number}} as a Markdown table."""
    if not groups:
        return "No subgroups are defined for these data."
    columns = list(next(iter(groups.values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in groups.items():
        lines.append(f"| {name} | " + " | ".join(cell(row[column], "{:.2f}") for column in columns) + " |")
    return "\n".join(lines)


def with_interval(percent: float, ci95: Sequence[float]) -> str:
    """A percentage and its interval as text, such as "1.5 % [0.4, 3.1]"."""
    return f"{percent:.1f} % [{ci95[0]:.1f}, {ci95[1]:.1f}]"


def format_of(slices: SliceSet) -> dict[str, object]:
    """Size, channels and labels of a set, for both kinds of card."""
    return {
        "size": slices.size,
        "channels": ", ".join(slices.channels),
        "labels": ", ".join(slices.label_names[1:]) or "none",
    }


def model_card(record: dict, run: dict, training: SliceSet, groups: dict) -> str:
    """The card of one generator, as Markdown.

    record  the generator's entry in report.json (`report.generator_record`)
    run     the record of the run
    groups  {subgroup: {column: value}}, see `anatomy.subgroups`
    """
    diversity, control = record["diversity"], record["membership_control"]
    scores = ("dice_real", "dice_synthetic", "dice_ratio", "dice_ratio_of_labels")
    dice = {name: cell(record[name], "interval") for name in scores}
    spaces = [f"{record[f'times_floor_{space}']:.1f}" for space in record["distances"]]
    masks = {f"impossible{of}": cell(record["masks"].get(f"impossible_percent{of}"), "{:.1f}") for of in ("", "_real")}
    return MODEL.format(
        **{**record, **dice, **masks, **format_of(training), "subgroups": subgroup_table(groups)},
        subjects=run["subjects"]["gen_train"],
        origin=origin(run),
        labels_fit=cell(record["labels_fit_ratio"], "{:.2f}"),
        times_floor=", ".join(spaces),
        coverage=f"{diversity['synthetic']['coverage']:.2f}",
        coverage_real=f"{diversity['real']['coverage']:.2f}",
        copies=with_interval(record["copies_flagged_percent"], record["copies_ci95"]),
        cosine=with_interval(record["cosine_flagged_percent"], record["cosine_ci95"]),
        attack=cell(record["membership_auc"], "interval"),
        control=f"{control[0]:.3f} to {control[1]:.3f}",
        planted=", ".join(f"{kind} {share:.0f} %" for kind, share in record["planted_copies_found_percent"].items()),
        source=training.source,
    )


def data_card(slices: SliceSet, run: dict, groups: dict) -> str:
    """The card of a run's data, as Markdown; arguments as in `model_card`."""
    parts = [f"{run['subjects'][part]} subjects in {part}" for part in PARTS]
    return DATA.format(
        **format_of(slices),
        n=len(slices),
        source=slices.source,
        spacing=" x ".join(f"{x:g}" for x in slices.spacing) + " mm per pixel",
        parts=", ".join(parts),
        licence=slices.licence or "not stated",
        intended_use=slices.intended_use or "not stated",
        origin=origin(run),
        processing="\n".join(f"- {topic}: {text}" for topic, text in slices.processing.items()),
        subgroups=subgroup_table(groups),
    )


def write(folder: Path, name: str, text: str, record: dict) -> Path:
    """Write `text` to NAME.md and `record` to NAME.json in `folder`; returns the path of the Markdown file."""
    path = Path(folder) / f"{name}.md"
    write_json(path.with_suffix(".json"), record)
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))
    return path
