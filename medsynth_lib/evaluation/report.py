"""All metrics.json of a run -> one record per generator (report.json), one table. Notebook 07 writes and shows it."""

from __future__ import annotations

import json
from pathlib import Path

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
    ("distance / floor: wavelets", "times_floor_wavelets", "{:.1f}"),
    ("distance / floor: radiomics", "times_floor_radiomics", "{:.1f}"),
    ("distance / floor: encoder", "times_floor_encoder", "{:.1f}"),
    ("coverage / real", "coverage_ratio", "{:.2f}"),
    ("copies flagged %", "copies_flagged_percent", "{:.1f}"),
    ("copies by cosine %", "cosine_flagged_percent", "{:.1f}"),
    ("expected %", "copies_expected_percent", "{:.1f}"),
    ("membership AUC", "membership_auc", "interval"),
)


class ReportError(RuntimeError):
    """A result that a notebook needs is missing or stems from other data; the sentence says which notebook to run."""


def trained_generators(run: Run, names: tuple[str, ...] | None = None) -> dict[str, dict]:
    """metrics.json of every generator of this run, in its notebook's folder or one below: {name: metrics + "folder"}.

    With `names`, of these only. Raises ReportError when there is none, when one of them is missing, when one was made
    from other data or another split than the run's, or when it tells of other samples or weights than lie beside it.
    """
    found = generators_in(run.root)
    for name in names or ():
        if name not in found:
            raise ReportError(f"{run.root} holds no samples of {name!r}; known: {', '.join(found)}. Train it first.")
    found = {name: metrics for name, metrics in found.items() if names is None or name in names}
    now = run.data_hashes()
    for metrics in found.values():
        refuse_other_data(metrics["folder"], metrics, now)
        refuse_other_samples(metrics)
    return found


def refuse_other_data(folder: Path, metrics: dict, now: dict[str, str]) -> None:
    """ReportError when a result was made from other slices or another split than the run's `now` (its data_hashes)."""
    if any(metrics["run"][key] != value for key, value in now.items()):
        raise ReportError(f"{folder} was made from other data than 00_data holds now; run it again.")


def refuse_other_samples(metrics: dict) -> None:
    """ReportError when samples or weights in the generator's folder are not those of which its metrics.json tells."""
    if not still_fits(metrics["folder"], metrics):
        raise ReportError(
            f"{metrics['folder']} was trained or sampled anew by a run that did not reach its end; run its notebook "
            "again."
        )


def generators_in(folder: Path) -> dict[str, dict]:
    """metrics.json of every generator below a run's folder: {name: metrics + "folder"}; ReportError for none.

    What `trained_generators` returns, without its look at data, samples and weights.
    """
    found = {}
    for path in sorted([*folder.glob(f"*/{METRICS}"), *folder.glob(f"*/*/{METRICS}")]):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if "generator" in metrics:
            found[metrics["generator"]] = {**metrics, "folder": path.parent}
    if not found:
        raise ReportError(f"{folder} holds no trained generator; run 01_vae, 02_dcgan, 03_stylegan or 05_ddpm first.")
    return found


def notebook_metrics(run: Run, notebook: str) -> dict:
    """metrics.json of one notebook; ReportError when it has not finished, or was made from other data."""
    path = run.path(notebook) / METRICS
    if not path.is_file():
        raise ReportError(f"{path} is missing; run {notebook} first.")
    metrics = json.loads(path.read_text(encoding="utf-8"))
    refuse_other_data(path.parent, metrics, run.data_hashes())
    return metrics


def generator_record(metrics: dict, dice: dict | None, judged: dict, attacks: dict, controls: dict) -> dict:
    """One line of the report from what the notebooks measured.

    dice      None where the data have no masks
    judged    what `judging.Judge.report` found; attacks: {name: what `membership.attack` found}
    controls  "planted_copies_found_percent", "negative_control_percent": of the audit itself
    "distance" and "distance_floor" are the Frechet distances in radiomics; "membership_auc" is the strongest attack's.
    """
    training, dice = metrics["training"], dice or {}
    distances, correlation, cosine = judged["distances"], judged["correlation"], judged["cosine"]
    strongest = max(attacks.values(), key=lambda found: found["auc"])
    return {
        "generator": metrics["generator"],
        "parameters": training["parameters"],
        "train_images": training["images"],
        "train_unique_images": training["unique_images"],
        "train_seconds": training["seconds"],
        "train_code": training["code"],
        "samples_hash": metrics.get("beside", {}).get("samples_hash"),
        "train_device": f"{training['device']}, {training['threads']} thread(s)",
        "sample_images_per_second": metrics["sampling"]["sample_images_per_second"],
        **{name: dice.get(name) for name in ("dice_real", "dice_synthetic", "dice_both", "dice_ratio")},
        "distances": distances,
        **{f"times_floor_{name}": d["distance"] / d["distance_floor"] for name, d in distances.items()},
        **{key: distances["radiomics"][key] for key in ("distance", "distance_floor")},
        "diversity": judged["variety"],
        "coverage_ratio": judged["variety"]["synthetic"]["coverage"] / judged["variety"]["real"]["coverage"],
        "anatomy": judged["anatomy"],
        "subgroups": judged["subgroups"],
        "copies_flagged_percent": correlation["smooth"]["percent"],
        "copies_ci95": correlation["smooth"]["ci95"],
        "copies_flagged_percent_plain_null": correlation["plain"]["percent"],
        "copies_expected_percent": correlation["expected_percent"],
        "cosine_flagged_percent": cosine["percent"],
        "cosine_ci95": cosine["ci95"],
        "scores": judged["scores"],
        "membership": attacks,
        "membership_auc": {"mean": strongest["auc"], "ci95": strongest["auc_ci95"]},
        "membership_control": strongest["control_auc_95"],
        **controls,
        "masks": metrics["masks"],
    }


def write_report(run: Run, records: list[dict]) -> Path:
    """report.json beside the notebooks' folders: the run's own record and one record per generator."""
    path = run.root / "report.json"
    write_json(path, {"run": run.record(), "generators": records})
    return path


def stored_reports(study: str, run: Run, results: Path = REPOSITORY / "results") -> list[dict]:
    """report.json of earlier runs, one per seed: results/STUDY/SOURCE_SIZEpx/seed*.json for the data of `run`."""
    folder = results / study / f"{registry.key(run.data)}_{run.slices().size}px"
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("seed*.json"))]


def cell(value, form: str) -> str:
    if value is None:
        return "-"
    if form == "interval":
        return f"{value['mean']:.3f} [{value['ci95'][0]:.3f}, {value['ci95'][1]:.3f}]"
    return form.format(value)


def table(records: list[dict]) -> list[list[str]]:
    """Heading and one row of text per generator."""
    rows = [[cell(record.get(key), form) for _, key, form in COLUMNS] for record in records]
    return [[heading for heading, _, _ in COLUMNS], *rows]


def markdown_table(records: list[dict]) -> str:
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
    """The results of one run folder, one generator per column so that it fits a terminal."""
    report = read_report(folder)
    columns = list(zip(*table(report["generators"]), strict=True))
    widths = [max(len(row[i]) for row in columns) for i in range(len(columns[0]))]
    run = report["run"]
    print(f"\n{run['profile']} / {run['data']} / seed {run['seed']} (95 % confidence intervals over test subjects)\n")
    for row in columns:
        print("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)))
    print(f"\n{Path(folder) / 'report.json'}")
