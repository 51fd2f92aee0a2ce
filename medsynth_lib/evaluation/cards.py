"""Cards of a run, from its records: one per generator (Mitchell et al. 2019), one of the data (Gebru et al. 2021).

Nothing is typed in by hand. What a card says in words, for people, stands in JSON beside it, for programs.
"""

from __future__ import annotations

from pathlib import Path

from ..core.checkpoints import write_atomically, write_json
from ..data.slices import PARTS, SliceSet
from .report import cell

MODEL = """# Model card: {generator}

Draws slices of {size} x {size} pixels ({channels}) with masks ({labels}). For teaching and research on methods.
**Not for diagnosis, not for a decision about any person.**

## How it was made

{parameters:,} parameters; {train_images:,} images seen, {train_unique_images:,} different ones of {people} people;
{train_seconds:,.0f} s on {train_device}. {origin}.

## What was measured

| | this generator | to compare |
|---|---|---|
| Dice of a segmenter trained on its slices alone | {dice_synthetic} | on real ones {dice_real} |
| their ratio | {dice_ratio} | |
| Frechet distance by wavelets, radiomics, encoder | {times_floor} | other real people: 1 |
| coverage of held-out people | {coverage} | other real people {coverage_real} |
| flagged as copies by correlation | {copies} | expected {copies_expected_percent:.0f} % |
| flagged as copies by cosine | {cosine} | expected {copies_expected_percent:.0f} % |
| AUC of the strongest attack on membership | {attack} | members against members {control} |
| impossible masks, % | {impossible} | real masks {impossible_real} |

## By subgroup

{subgroups}

## Limits

- The audit compares with the training people by two rules. Of copies planted to test it, it found: {planted}. Copies in
  other disguises were not looked for. Few flags are no proof of anonymity; only training with differential privacy,
  which was not used, gives a guarantee.
- Who is rare among the training people may be drawn more rarely still: read the table above before these slices are
  mixed into a training set. Age, sex and origin of the people are unknown here, so nothing is said of them.
- Learned from {source} alone. For other scanners, protocols and diseases nothing was measured.
"""

DATA = """# Data card: {source}

{n:,} slices of {size} x {size} pixels ({channels}), {spacing}; labels: {labels}. {parts}.
Split by person before anything was trained; the test people are opened by `06_segmentation` alone.

Licence: {licence}. Meant for: {intended_use}. {origin}.

## What was done to the pixels

{processing}

## By subgroup

{subgroups}
"""


def origin(run: dict) -> str:
    """Where the numbers come from, in one line."""
    return (
        f"Commit {run['commit']}, profile {run['profile']}, data {run['data']} ({run['data_hash']}), split "
        f"{run['split_hash']}, seed {run['seed']}, torch {run['versions']['torch']}"
    )


def subgroup_table(groups: dict[str, dict[str, float]]) -> str:
    """{group: {column: number}} as a Markdown table."""
    if not groups:
        return "No subgroups are known."
    columns = list(next(iter(groups.values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in groups.items():
        lines.append(f"| {name} | " + " | ".join(cell(row[column], "{:.2f}") for column in columns) + " |")
    return "\n".join(lines)


def with_interval(percent: float, ci95) -> str:
    return f"{percent:.1f} % [{ci95[0]:.1f}, {ci95[1]:.1f}]"


def pictures(slices: SliceSet) -> dict[str, object]:
    """What both kinds of card say of slices."""
    return {
        "size": slices.size,
        "channels": ", ".join(slices.channels),
        "labels": ", ".join(slices.label_names[1:]) or "none",
    }


def model_card(record: dict, run: dict, training: SliceSet, groups: dict) -> str:
    """The card of one generator, from its line of report.json, the record of the run and its subgroups."""
    variety, control = record["diversity"], record["membership_control"]
    dice = {name: cell(record[name], "interval") for name in ("dice_real", "dice_synthetic", "dice_ratio")}
    spaces = [f"{record[f'times_floor_{space}']:.1f}" for space in record["distances"]]
    masks = {f"impossible{of}": cell(record["masks"].get(f"impossible_percent{of}"), "{:.1f}") for of in ("", "_real")}
    return MODEL.format(
        **{**record, **dice, **masks, **pictures(training), "subgroups": subgroup_table(groups)},
        people=run["subjects"]["gen_train"],
        origin=origin(run),
        times_floor=", ".join(spaces),
        coverage=f"{variety['synthetic']['coverage']:.2f}",
        coverage_real=f"{variety['real']['coverage']:.2f}",
        copies=with_interval(record["copies_flagged_percent"], record["copies_ci95"]),
        cosine=with_interval(record["cosine_flagged_percent"], record["cosine_ci95"]),
        attack=cell(record["membership_auc"], "interval"),
        control=f"{control[0]:.3f} to {control[1]:.3f}",
        planted=", ".join(f"{kind} {share:.0f} %" for kind, share in record["planted_copies_found_percent"].items()),
        source=training.source,
    )


def data_card(slices: SliceSet, run: dict, groups: dict) -> str:
    """The card of the run's data."""
    people = [f"{run['subjects'][part]} people in {part}" for part in PARTS]
    return DATA.format(
        **pictures(slices),
        n=len(slices),
        source=slices.source,
        spacing=" x ".join(f"{x:g}" for x in slices.spacing) + " mm per pixel",
        parts=", ".join(people),
        licence=slices.licence or "not stated",
        intended_use=slices.intended_use or "not stated",
        origin=origin(run),
        processing="\n".join(f"- {topic}: {text}" for topic, text in slices.processing.items()),
        subgroups=subgroup_table(groups),
    )


def write(folder: Path, name: str, text: str, record: dict) -> Path:
    """NAME.md and NAME.json in `folder`; the path of the first."""
    path = Path(folder) / f"{name}.md"
    write_json(path.with_suffix(".json"), record)
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))
    return path
