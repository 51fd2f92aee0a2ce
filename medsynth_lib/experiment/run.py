"""A run of one notebook: its folder, profile, seeds, device, data, figures and record."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch

from ..core.checkpoints import CheckpointError, write_json
from ..core.devices import make_fabric
from ..core.progress import clock
from ..core.provenance import REPOSITORY, commit, package_hash, versions
from ..core.seeding import step_seed
from ..data import registry
from ..data.paths import absolute
from ..data.slices import PARTS, DataError, SliceSet, Split, hash_of, split_subjects
from ..data.source_files import Seen
from ..data.suitability import lacking
from . import source
from .finished import METRICS, described, mark_done
from .given_test import without_leaks
from .profiles import Profile, name_of, profile, source_of


def run_folder(profile_name: str, data: str, seed: int) -> Path:
    """runs/<profile>/<data>/seed<k>, below MEDSYNTH_RUNS if that is set; a file's profile is its stem.

    An absolute path. Raises ValueError for names that are not known, DataError for a folder that is not there.
    """
    root = absolute(os.environ.get("MEDSYNTH_RUNS") or str(REPOSITORY / "runs"))
    return root / name_of(profile_name) / registry.key(data) / f"seed{seed}"


@dataclass
class Run:
    """One execution of a notebook, as `start` returns it: its settings, data, seeds and files."""

    notebook: str
    profile: str  # its name; a user's own file has its stem
    profile_source: str  # as `start` finds it from any folder: the name, or the file's absolute path
    data: str
    seed: int
    settings: Profile
    folder: Path
    device: str
    started: float = field(default_factory=time.time)
    registered: list[Path] = field(default_factory=list)  # by this execution
    uses_slices: bool = False  # this execution has opened them: they must stay the same to its end

    def path(self, notebook: str = "") -> Path:
        """Folder of this or another notebook of the same run."""
        return self.root / notebook if notebook else self.folder

    @property
    def root(self) -> Path:
        """The folder of the run, with one folder per notebook."""
        return self.folder.parents[self.notebook.count("/")]

    def seed_of(self, stage: str) -> int:
        """A seed for one named stage: the same on every machine, different for every stage and run seed."""
        return step_seed(self.seed, 0, purpose=stage) % 2**32

    def seed_all(self, stage: str) -> int:
        """Seed torch's global generator for one named stage; returns the seed."""
        value = self.seed_of(stage)
        torch.manual_seed(value)
        return value

    def slices(self) -> SliceSet:
        """All slices of the data source, prepared once per run and then read from disk.

        They are prepared again when sizes, the seed or the code that reads data have changed; when files of the source
        have, only at the beginning of 00_data, and any other notebook stops with a DataError that names them.
        """
        return SliceSet.load(self._prepared() / "slices")

    def _prepared(self) -> Path:
        """The folder with the run's slices and split, which are prepared now if they are missing or stale."""
        folder = self.path("00_data")
        request = {"data": self.data, "seed": self.seed, **asdict(self.settings.data), "code": package_hash("data")}
        note = folder / "request.json"
        if not note.is_file() or json.loads(note.read_text(encoding="utf-8")) != request:
            # Looked at before they are read: a change meanwhile is noticed the next time
            self._prepare(folder, source.seen(self.data))
            write_json(note, request)
        else:
            changed, files = source.changes(folder, self.data)
            if changed and (self.notebook != "00_data" or self.uses_slices):
                raise DataError(
                    f"{changed} since 00_data made the slices of this run; run 00_data again, or make reproduce."
                )
            if changed:
                print(f"{changed} since the slices were made: they are made anew")
                self._prepare(folder, files)
        self.uses_slices = True
        return folder

    def _prepare(self, folder: Path, files: Seen) -> None:
        sizes = self.settings.data
        slices = registry.load(
            self.data,
            image_size=sizes.image_size,
            subjects=sizes.own_subjects if registry.is_own(self.data) else sizes.subjects,
            slices_per_subject=sizes.slices_per_subject,
            seed=self.seed_of("data"),
            workers=torch.get_num_threads(),
            progress=source.shown("data", "cases"),
        )
        slices = without_leaks(slices)
        split = split_subjects(slices, self.seed_of("split"))
        slices.save(folder / "slices")
        split.save(folder / "split.json")
        source.remember(folder, files or source.seen(self.data))  # a download brings the files

    def split(self) -> Split:
        """The split by subject, made once with the slices."""
        return Split.load(self._prepared() / "split.json")

    def data_hashes(self) -> dict[str, str]:
        """Hashes of the run's slices and split; results computed from other data are not used."""
        folder = self._prepared()
        return {"data_hash": hash_of(folder / "slices"), "split_hash": Split.load(folder / "split.json").hash()}

    def part(self, name: str) -> SliceSet:
        """The slices of "gen_train", "holdout" or "test".

        Raises DataError for a folder of the user's in which something is lacking for a training; 00_data shows it
        nevertheless.
        """
        slices, split = self.slices(), self.split()
        own = registry.check(self.data)[1] is not None
        if (
            own
            and name == "gen_train"
            and self.notebook != "00_data"
            and (reason := lacking(slices, split, self.notebook))
        ):
            raise DataError(reason)
        return split.part(slices, name)

    def savefig(self, name: str, figure: plt.Figure | None = None) -> Path:
        """Write the figure (default: the current one) to figures/<name>.png."""
        path = self.folder / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        (figure or plt.gcf()).savefig(path, dpi=110, bbox_inches="tight")
        return path

    def record(self) -> dict:
        """Where the run's numbers come from: sizes, versions, device, commit, hashes, wall time."""
        split = self.split()
        return {
            "notebook": self.notebook,
            "profile": self.profile,
            "data": self.data,
            "seed": self.seed,
            "settings": self.settings.as_dict(),
            "versions": versions(),
            "commit": commit(),
            "device": self.device,
            "threads": torch.get_num_threads(),
            **self.data_hashes(),
            "subjects": {part: len(getattr(split, part)) for part in PARTS},
            "wall_seconds": round(time.time() - self.started, 1),
        }

    def register(self, folder: Path, **metrics: Any) -> None:
        """Write metrics.json of one generator into its own folder, for notebooks that train several.

        Its "describes" identifies the samples and weights to which it belongs.
        """
        folder = Path(folder)
        write_json(folder / METRICS, {"run": self.record(), "describes": described(folder), **metrics})
        self.registered.append(folder.resolve())

    def finish(self, **metrics: Any) -> None:
        """Write metrics.json as a whole, at the end; until then that of an earlier execution stays.

        Generators in folders below that this execution did not register are no longer part of the run: their
        metrics.json is removed, their weights and samples stay.
        """
        self.register(self.folder, **metrics)
        for old in self.folder.rglob(METRICS):
            if old.parent.resolve() not in self.registered:
                print(f"{old.parent.name} was not trained this time: {old} is removed")
                old.unlink()
        mark_done(self.folder)
        print(f"{self.notebook} finished in {clock(time.time() - self.started)}: {self.folder}")


def start(notebook: str, profile_name: str = "demo", data: str = "phantom", seed: int = 0) -> Run:
    """Begin a notebook: check the parameters, seed, make the folder, print what runs where. It deletes nothing.

    profile_name   a shipped profile, or the path of a .toml file (from the folder in which Python runs)
    MEDSYNTH_PROFILE replaces the default profile "demo" (used by the tests); any other value given here is kept.
    Raises ValueError or DataError, with the known values, for an unknown profile or data source, TypeError for a seed
    that is not a whole number, CheckpointError when the folder cannot be made.
    """
    chosen, why = profile_name, "parameter"
    if profile_name == "demo" and os.environ.get("MEDSYNTH_PROFILE"):
        chosen, why = os.environ["MEDSYNTH_PROFILE"], "MEDSYNTH_PROFILE"
    settings = profile(chosen)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise TypeError(f"seed is {seed!r}; give a whole number from 0 on.")
    data = registry.resolved(data)
    refuse_broken_torchvision()
    threads = os.environ.get("MEDSYNTH_THREADS") or str(torch.get_num_threads())
    if not threads.isdecimal() or int(threads) < 1:
        raise ValueError(f"MEDSYNTH_THREADS is {threads!r}; set it to a whole number from 1 on.")
    torch.set_num_threads(int(threads))
    if chosen == "smoke":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
        torch.use_deterministic_algorithms(True, warn_only=True)
    folder = run_folder(chosen, data, seed) / notebook
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"{folder} cannot be made ({error.strerror}); set MEDSYNTH_RUNS to a folder that you may write to."
        ) from None
    device = str(make_fabric().device)
    run = Run(notebook, name_of(chosen), source_of(chosen), data, seed, settings, folder, device)
    run.seed_all(notebook)
    plt.rcParams.update({"figure.dpi": 90, "image.cmap": "gray", "axes.spines.top": False, "axes.spines.right": False})
    where = why if run.profile == run.profile_source else f"{why}, {run.profile_source}"
    print(f"{notebook}: profile {run.profile} (from {where}), data {data}, seed {seed}")
    print(f"torch {torch.__version__} on {device}, {torch.get_num_threads()} threads, commit {commit()}")
    print(f"results go to {folder}")
    return run


def refuse_broken_torchvision() -> None:
    """Stop early where a torchvision built for another torch would break diffusers with an obscure message."""
    if importlib.util.find_spec("torchvision") is None or "torchvision" in sys.modules:
        return
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        raise RuntimeError(
            f"the installed torchvision does not fit torch {torch.__version__} ({str(error).splitlines()[0]}) and "
            "breaks diffusers; medsynth does not need it: pip uninstall torchvision."
        ) from error
