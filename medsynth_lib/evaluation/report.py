"""The report of a run, written by notebook 07: one record per generator from all metrics.json, and a table of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..core.checkpoints import write_json
from ..data import registry
from ..experiment.finished import METRICS, still_fits
from ..experiment.run import REPOSITORY, Run

COLUMNS = (
    # heading, key in the record, format
    ("generator", "generator", "{}"),
    ("parameters", "parameters", "{:,}"),
    ("training s", "train_seconds", "{:,.0f}"),
    ("samples/s", "sample_images_per_second", "{:,.1f}"),
    ("Dice real", "dice_real", "interval"),
    ("Dice synthetic", "dice_synthetic", "interval"),
    ("Dice both", "dice_both", "interval"),
    ("ratio synthetic/real", "dice_ratio", "interval"),
    ("ratio, mean over labels", "dice_ratio_of_labels", "interval"),
    ("labels fit images / real", "labels_fit_ratio", "{:.2f}"),
    ("distance / floor: wavelets", "times_floor_wavelets", "{:.1f}"),
    ("distance / floor: radiomics", "times_floor_radiomics", "{:.1f}"),
    ("distance / floor: encoder", "times_floor_encoder", "{:.1f}"),
    ("coverage / real", "coverage_ratio", "{:.2f}"),
    ("copies flagged %", "copies_flagged_percent", "{:.1f}"),
    ("copies by cosine %", "cosine_flagged_percent", "{:.1f}"),
    ("expected %", "copies_expected_percent", "{:.1f}"),
    ("membership AUC", "membership_auc", "interval"),
)
DICE = ("dice_real", "dice_synthetic", "dice_both", "dice_ratio", "dice_ratio_of_labels")  # of notebook 06


class ReportError(RuntimeError):
    """A required result is missing or was computed from other data; the message says which notebook to run."""


def trained_generators(run: Run, names: tuple[str, ...] | None = None) -> dict[str, dict]:
    """{generator: its metrics.json and its "folder"} of all generators of the run, or of `names`.

    Raises ReportError when there is none or one of `names` is missing, when a generator was trained on other data or
    another split than the run's, and when its samples or weights are not those described in metrics.json.
    """
    found = generators_in(run.root)
    for name in names or ():
        if name not in found:
            raise ReportError(f"{run.root} holds no samples of {name!r}; known: {', '.join(found)}. Train it first.")
    found = {name: metrics for name, metrics in found.items() if names is None or name in names}
    hashes = run.data_hashes()
    for metrics in found.values():
        refuse_other_data(metrics["folder"], metrics, hashes)
        refuse_other_samples(metrics)
    return found


def refuse_other_data(folder: Path, metrics: dict, hashes: dict[str, str]) -> None:
    """Raises ReportError when `metrics` were computed from other data or another split than that of `hashes`.

    hashes  data_hashes() of the run; folder  for the message
    """
    if any(metrics["run"][key] != value for key, value in hashes.items()):
        raise ReportError(f"{folder} was made from other data than 00_data holds now; run it again.")


def refuse_other_samples(metrics: dict) -> None:
    """Raises ReportError when samples or weights in metrics["folder"] are not those described in its metrics.json."""
    if not still_fits(metrics["folder"], metrics):
        raise ReportError(
            f"{metrics['folder']} was trained or sampled again by a run that did not finish; run its notebook again."
        )


def generators_in(folder: Path) -> dict[str, dict]:
    """`trained_generators` of a run's folder, without checks of data, samples and weights; ReportError for none."""
    found = {}
    for path in sorted([*folder.glob(f"*/{METRICS}"), *folder.glob(f"*/*/{METRICS}")]):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if "generator" in metrics:
            found[metrics["generator"]] = {**metrics, "folder": path.parent}
    if not found:
        raise ReportError(f"{folder} holds no trained generator; run 01_vae, 02_dcgan, 03_stylegan or 05_ddpm first.")
    return found


def notebook_metrics(run: Run, notebook: str) -> dict:
    """metrics.json of a notebook; ReportError when it is missing or was computed from other data."""
    path = run.path(notebook) / METRICS
    if not path.is_file():
        raise ReportError(f"{path} is missing; run {notebook} first.")
    metrics = json.loads(path.read_text(encoding="utf-8"))
    refuse_other_data(path.parent, metrics, run.data_hashes())
    return metrics


def generator_record(metrics: dict, dice: dict | None, evaluation: dict, attacks: dict, controls: dict) -> dict:
    """The record of one generator in report.json.

    metrics     its metrics.json
    dice        Dice scores with intervals, by the names in DICE, and "labels_fit_ratio": how well a segmenter of real
                slices finds the generated labels, relative to held-out real ones; None without masks
    evaluation  result of `Evaluator.report`
    attacks     {name: result of `membership.attack`}
    controls    tests of the copy audit: "planted_copies_found_percent", "negative_control_percent"
    In the record, "distance" and "distance_floor" are Frechet distances of radiomics, "membership_auc" is that of the
    strongest attack.
    """
    training, dice = metrics["training"], dice or {}
    distances, correlation, cosine = evaluation["distances"], evaluation["correlation"], evaluation["cosine"]
    diversity = evaluation["diversity"]
    strongest = max(attacks.values(), key=lambda found: found["auc"])
    return {
        "generator": metrics["generator"],
        "parameters": training["parameters"],
        "train_images": training["images"],
        "train_unique_images": training["unique_images"],
        "train_seconds": training["seconds"],
        "train_code": training["code"],
        "samples_hash": metrics.get("describes", {}).get("samples_hash"),
        "train_device": f"{training['device']}, {training['threads']} thread(s)",
        "sample_images_per_second": metrics["sampling"]["sample_images_per_second"],
        **{name: dice.get(name) for name in DICE},
        "labels_fit_ratio": dice.get("labels_fit_ratio"),
        "distances": distances,
        **{f"times_floor_{name}": d["distance"] / d["distance_floor"] for name, d in distances.items()},
        **{key: distances["radiomics"][key] for key in ("distance", "distance_floor")},
        "diversity": diversity,
        "coverage_ratio": diversity["synthetic"]["coverage"] / diversity["real"]["coverage"],
        "anatomy": evaluation["anatomy"],
        "subgroups": evaluation["subgroups"],
        "copies_flagged_percent": correlation["smooth"]["percent"],
        "copies_ci95": correlation["smooth"]["ci95"],
        "copies_flagged_percent_plain_null": correlation["plain"]["percent"],
        "copies_expected_percent": correlation["expected_percent"],
        "cosine_flagged_percent": cosine["percent"],
        "cosine_ci95": cosine["ci95"],
        "scores": evaluation["scores"],
        "membership": attacks,
        "membership_auc": {"mean": strongest["auc"], "ci95": strongest["auc_ci95"]},
        "membership_control": strongest["control_auc_95"],
        **controls,
        "masks": metrics["masks"],
    }


def write_report(run: Run, records: list[dict]) -> Path:
    """Write report.json to the run's folder (the record of the run and one per generator) and return its path."""
    path = run.root / "report.json"
    write_json(path, {"run": run.record(), "generators": records})
    return path


def stored_reports(study: str, run: Run, results: Path = REPOSITORY / "results") -> list[dict]:
    """report.json of earlier runs on the data of `run`, one per seed: `results`/STUDY/SOURCE_SIZEpx/seed*.json."""
    folder = results / study / f"{registry.key(run.data)}_{run.slices().size}px"
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("seed*.json"))]


def cell(value: Any, form: str) -> str:
    """A value as text: by the format string `form`, {"mean", "ci95"} by "interval"; "-" for None."""
    if value is None:
        return "-"
    if form == "interval":
        return f"{value['mean']:.3f} [{value['ci95'][0]:.3f}, {value['ci95'][1]:.3f}]"
    return form.format(value)


def table(records: list[dict]) -> list[list[str]]:
    """The table of COLUMNS as text: the headings, then one row per generator."""
    rows = [[cell(record.get(key), form) for _, key, form in COLUMNS] for record in records]
    return [[heading for heading, _, _ in COLUMNS], *rows]


def markdown_table(records: list[dict]) -> str:
    """`table` in Markdown."""
    rows = table(records)
    rule = ["---"] * len(rows[0])
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])


def read_report(folder: Path) -> dict:
    """report.json of a run folder; ReportError when it is missing."""
    path = Path(folder) / "report.json"
    if not path.is_file():
        raise ReportError(f"{path} is missing; run make reproduce first.")
    return json.loads(path.read_text(encoding="utf-8"))


def print_table(folder: Path) -> None:
    """Print the results of a run's folder, one generator per column to fit a terminal."""
    report = read_report(folder)
    columns = list(zip(*table(report["generators"]), strict=True))
    widths = [max(len(row[i]) for row in columns) for i in range(len(columns[0]))]
    run = report["run"]
    print(f"\n{run['profile']} / {run['data']} / seed {run['seed']} (95 % confidence intervals over test subjects)\n")
    for row in columns:
        print("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)))
    print(f"\n{Path(folder) / 'report.json'}")
