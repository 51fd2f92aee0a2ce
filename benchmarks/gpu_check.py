"""Whether medsynth works on this GPU, and how fast. At most eight minutes, no network.

usage: python benchmarks/gpu_check.py [--device auto|cpu] [--out runs/gpu-check] [--parts works pays ...]

works     a few steps of every method in bf16: finite losses, the declared precision, stopped and resumed, results
pays      images/s and memory of `fit` at 128 px, and of a bare loop of the same steps, in bf16 and fp32
switches  the gain of each switch of MEDSYNTH_SPEED
loops     images/s of `fit` and of the loops of the diffusers example and the MONAI tutorial
useful    two recipes of EDM, 45 seconds each, at 128 px: their samples, and the Dice of a U-Net trained on them

Writes check.json, table.md and samples.png as it goes; with --parts, what an earlier run left in --out is kept. With
--device cpu everything runs at smoke size, for tests.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from methods import METHODS, Kinds, data, in_use
from training_loop import measure

import medsynth_lib as ms
from medsynth_lib.core.checkpoints import write_json
from medsynth_lib.core.devices import DEFAULT, autocast, make_fabric, precision_of
from medsynth_lib.core.method import Method
from medsynth_lib.data import registry
from medsynth_lib.data.augment import augment
from medsynth_lib.experiment.profiles import profile
from medsynth_lib.experiment.profiles.sizes import DiffusionSizes
from medsynth_lib.experiment.run import REPOSITORY, commit, versions
from medsynth_lib.models.diffusion.edm import deviation

CHANNELS, LABELS = 4, 4
PARTS = ("works", "pays", "switches", "loops", "useful")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", choices=("auto", "cpu"))
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "gpu-check")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args(arguments)
    if given.device == "auto" and not torch.cuda.is_available():
        print("No GPU was found here; `make gpu-check DEVICE=cpu` runs the same at smoke size.")
        return 2
    check = Check(given.device, given.out)
    for part in given.parts:
        getattr(check, part)()
    print(f"{given.out / 'table.md'} and samples.png, after {check.clock()}")
    return 0 if all(row["ok"] for row in check.found["works"].values()) else 1


class Check:
    """The parts of the check and what they found."""

    def __init__(self, device: str, out: Path):
        self.device, self.out, self.started = device, Path(out), time.monotonic()
        self.fabric = make_fabric(device)
        self.on_gpu = self.fabric.device.type == "cuda"
        self.settings = profile("gpu" if self.on_gpu else "smoke")
        self.seconds = 3.0 if self.on_gpu else 0.1  # of every timed training
        name = torch.cuda.get_device_name() if self.on_gpu else "CPU"
        self.found = {"device": name, "versions": versions(), "commit": commit(), **{part: {} for part in PARTS}}
        earlier = self.out / "check.json"
        if earlier.exists() and json.loads(earlier.read_text())["device"] == name:
            self.found |= {part: json.loads(earlier.read_text())[part] for part in PARTS}
        print(f"{name}, torch {torch.__version__}", flush=True)

    def clock(self) -> str:
        return f"{time.monotonic() - self.started:.0f} s"

    def note(self, part: str, name: str, row: Any) -> None:
        """Keep a row, print it and write everything that was found so far."""
        self.found[part][name] = row
        print(f"{self.clock():>6} {part} {name}: {row}", flush=True)
        self.out.mkdir(parents=True, exist_ok=True)
        write_json(self.out / "check.json", self.found)
        (self.out / "table.md").write_text(markdown(self.found), encoding="utf-8")

    # ---- works
    def works(self) -> None:
        for name in METHODS:
            try:
                self.note("works", name, self.one_method(name))
            except Exception as error:  # a method that fails is a row of the table
                reason = f"{type(error).__name__}: {str(error)[:150]}"
                self.note("works", name, {"ok": False, "error": reason})

    def one_method(self, name: str) -> dict:
        """Train a few steps, stopped in between and resumed; then check what the method returns in use."""
        torch.manual_seed(0)
        method, calls, kinds = METHODS[name](), [], Kinds()
        step = method.step

        def stopped(*given: Any) -> dict:
            calls.append(1)
            if len(calls) == 5:
                raise KeyboardInterrupt
            with kinds:
                return step(*given)

        method.step = stopped
        how = {"images": 32, "batch_size": 4, "seed": 0, "ema_images": 20, "checkpoint_seconds": 0.0}
        text = io.StringIO()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(text):
            with contextlib.suppress(KeyboardInterrupt):
                ms.fit(method, data(name), Path(folder), **how, fabric=self.fabric)
            record = ms.fit(method, data(name), Path(folder), **how, fabric=self.fabric)
        results = in_use(method, data(name))
        row = {
            "precision": record["precision"],
            "as declared": self.as_declared(method, {kind for _, kind in kinds.found}),
            "finite": all(np.isfinite(value) for value in record["losses"].values()),
            "resumed": "resumed at 16 of 32 images" in text.getvalue(),
            "on the CPU": all(x.device.type == "cpu" and bool(x.float().isfinite().all()) for x in results),
        }
        return {**row, "ok": all(value for key, value in row.items() if key != "precision")}

    def as_declared(self, method: Method, used: set[torch.dtype]) -> bool:
        """Whether bfloat16 was used if, and only if, it should be."""
        return (torch.bfloat16 in used) == (precision_of(self.fabric, method) == "bf16-mixed")

    # ---- pays
    def cases(self) -> dict:
        """{name: (a function that builds the method, batch size, kind of batch)} at the profile's sizes."""
        sizes, size = self.settings, self.settings.data.image_size
        gan, drawn, cycle, unet = sizes.stylegan, sizes.diffusion, sizes.translation, sizes.segmentation
        style = {
            "width": gan.width,
            "fmap_max": gan.fmap_max,
            "latent": gan.latent,
            "mapping_layers": gan.mapping_layers,
        }
        cyclegan = {"width": cycle.width, "blocks": cycle.blocks, "patch": cycle.patch}
        cyclegan |= {"discriminator_layers": cycle.discriminator_layers}
        cyclegan |= {"pool_size": cycle.pool_size, "identity_weight": cycle.identity_weight}
        return {
            "stylegan2": (partial(ms.StyleGAN2, CHANNELS, LABELS, size, **style), gan.batch_size, None),
            "edm": (partial(edm, drawn, size, 0.5), drawn.batch_size, None),
            "unet": (partial(ms.UNetSegmenter, CHANNELS, LABELS, unet.widths), unet.batch_size, augment),
            "cyclegan": (partial(ms.CycleGAN, 1, size, **cyclegan), cycle.batch_size, None),
        }

    def tensors(self, name: str, size: int, rows: int) -> dict:
        images = torch.rand(rows, CHANNELS, size, size) * 2 - 1
        if name == "cyclegan":
            return {"a": images[:, :1], "b": images[:, 1:2]}
        return {"images": images, "labels": (images[:, 0] > 0.9).to(torch.uint8)}

    def pays(self) -> None:
        for name, (build, batch, change) in self.cases().items():
            tensors = self.tensors(name, self.settings.data.image_size, 16 * batch)
            row = {"batch": batch}
            for how, switches in (("default", DEFAULT), ("fp32", [word for word in DEFAULT if word != "bf16"])):
                with switched(switches):
                    row[how], row[f"{how} GB"] = self.speed(build, tensors, batch, change)
                    row[f"{how} bare"] = self.bare(build, tensors, batch, change)
            row["of bare"] = round(row["default"] / row["default bare"], 3)
            self.note("pays", name, row)

    def loops(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            size, batch = (128, 64) if self.on_gpu else (16, 2)
            loops = measure(size=size, batch=batch, steps=15 if self.on_gpu else 2, rounds=3 if self.on_gpu else 1)
        self.note("loops", "images/s", loops["images_per_second"])

    def switches(self) -> None:
        """What each switch changes: EDM of the profile, and the demo's small one, whose speed the host may limit."""
        demo = profile("demo" if self.on_gpu else "smoke")
        small = partial(edm, demo.diffusion, demo.data.image_size, 0.5)
        large, batch, _ = self.cases()["edm"]
        changes = {"default": DEFAULT}
        if self.on_gpu:
            changes |= {f"without {word}": [w for w in DEFAULT if w != word] for word in DEFAULT}
            changes |= {"with channels_last": [*DEFAULT, "channels_last"]}
        compiled = {"with compile": [*DEFAULT, "compile"]} if self.on_gpu else {}
        cases = {
            "edm": (large, batch, self.settings.data.image_size, changes),
            "demo's edm": (small, 32, demo.data.image_size, changes | compiled),
        }
        for name, (build, batch, size, wanted) in cases.items():
            tensors, row = self.tensors("edm", size, 16 * batch), {}
            for change, words in wanted.items():
                try:
                    with switched(words):
                        row[change], _ = self.speed(build, tensors, batch, None)
                except Exception as error:  # a switch that this machine does not support
                    row[change] = f"{type(error).__name__}: {str(error)[:80]}"
                self.note("switches", name, row)

    def speed(
        self, build: Callable[[], Method], tensors: dict, batch: int, change: Callable | None
    ) -> tuple[float, float]:
        """Images/s in the second half of a `fit` of about `seconds`, and the memory it took on the device in GB."""
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        steps, rate = 12 if self.on_gpu else 2, 0.0
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            how = {"batch_size": batch, "seed": 1, "ema_images": 500, "augment": change, "force": True}
            for _ in range(2):  # a warm-up to choose the number of steps, then the measurement
                steps = max(steps, round(self.seconds * rate / batch))
                ms.fit(build(), tensors, Path(folder), images=steps * batch, **how, fabric=make_fabric(self.device))
                rate = steady_rate(Path(folder) / "stats.jsonl")
        memory = torch.cuda.max_memory_allocated() / 2**30 if self.on_gpu else 0.0
        return rate, round(memory, 2)

    def bare(self, build: Callable[[], Method], tensors: dict, batch: int, change: Callable | None) -> float:
        """Images/s of the same steps on one batch on the device: no average, no statistics, no reading of data."""
        fabric = make_fabric(self.device)
        method = build().to(fabric.device)
        optimisers, precision = method.optimisers(), precision_of(fabric, method)
        ready = {name: value[:batch].to(fabric.device) for name, value in tensors.items()}

        def run(steps: int) -> float:
            started = time.perf_counter()
            for method.global_step in range(steps):
                given = change(ready) if change else ready
                with autocast(fabric.device, precision):
                    losses = method.step(given, optimisers, 0.5)
            next(iter(losses.values())).detach().item()  # waits for the device
            return steps * batch / (time.perf_counter() - started)

        steps = 10 if self.on_gpu else 2
        run(steps)
        return round(run(max(steps, round(self.seconds * run(steps) / batch))), 1)

    # ---- useful
    def useful(self) -> None:
        sizes = self.settings.data
        many, each = (120, 12) if self.on_gpu else (12, 2)
        slices = registry.load(
            "phantom",
            image_size=sizes.image_size,
            subjects=many,
            slices_per_subject=each,
            seed=0,
            workers=os.cpu_count(),
        )
        split = ms.split_subjects(slices, 0)
        train, test = split.part(slices, "gen_train"), split.part(slices, "test")
        tensors, shape, sets = ms.joint.tensors_of(train), ms.joint.shape_of(train), {"real": train}
        sigma_data = deviation(tensors, shape.labels)
        demo = profile("demo" if self.on_gpu else "smoke").diffusion
        recipes = {"gpu profile": self.settings.diffusion, "demo's recipe": replace(demo, batch_size=64)}
        for name, recipe in recipes.items():
            build = partial(edm, recipe, shape.size, sigma_data)
            rate, _ = self.speed(build, tensors, recipe.batch_size, None)
            seconds = 45.0 if self.on_gpu else 0.3
            model, batch = build(), recipe.batch_size
            with tempfile.TemporaryDirectory() as folder:
                how = {"images": rate * seconds, "batch_size": batch, "seed": 0, "ema_images": rate * seconds / 20}
                record = ms.fit(model, tensors, Path(folder), **how, fabric=self.fabric)
            count = 2_000 if self.on_gpu else 8
            started = time.perf_counter()
            images, labels = model.sample(count, 0, steps=10)
            drawn = count / (time.perf_counter() - started)
            sets[name] = ms.joint.to_slices(images, labels, train, name)
            row = {"seconds": record["seconds"], "images": record["images"], "samples/s": round(drawn, 1)}
            self.note("useful", name, row)
        figure = ms.show_side_by_side(sets, count=8, channel=-1)
        figure.savefig(self.out / "samples.png", dpi=110, bbox_inches="tight")
        steps = 600 if self.on_gpu else 4
        sizes = replace(self.settings.segmentation, steps=steps)
        for name, training in sets.items():
            with tempfile.TemporaryDirectory() as folder:
                result = ms.train_arm(training, test, sizes, 0, Path(folder))
            dice = float(np.nanmean(result["per_label"])) if np.isfinite(result["per_label"]).any() else 0.0
            self.note("useful", name, {**self.found["useful"].get(name, {}), "mean Dice": round(dice, 3)})
        real = max(self.found["useful"]["real"]["mean Dice"], 1e-9)
        for name in recipes:
            row = self.found["useful"][name]
            self.note("useful", name, {**row, "of real": round(row["mean Dice"] / real, 3)})


def edm(sizes: DiffusionSizes, size: int, sigma_data: float) -> ms.EDM:
    """The EDM of a profile's diffusion sizes."""
    return ms.EDM(CHANNELS, LABELS, size, sigma_data, **sizes.edm)


def steady_rate(stats: Path) -> float:
    """Images/s in the second half of a training: the first steps compile and try algorithms."""
    lines = [json.loads(line) for line in stats.read_text(encoding="utf-8").splitlines()]
    half, last = lines[(len(lines) - 1) // 2], lines[-1]
    return round((last["images"] - half["images"]) / max(last["seconds"] - half["seconds"], 1e-9), 1)


@contextlib.contextmanager
def switched(words: Iterable[str]) -> Iterator[None]:
    """Context manager: MEDSYNTH_SPEED is set to `words`."""
    before = os.environ.get("MEDSYNTH_SPEED")
    os.environ["MEDSYNTH_SPEED"] = " ".join(words)
    try:
        yield
    finally:
        os.environ.pop("MEDSYNTH_SPEED")
        if before is not None:
            os.environ["MEDSYNTH_SPEED"] = before


def markdown(found: dict) -> str:
    """All parts as tables."""
    titles = {
        "works": "Every method, a few steps",
        "pays": "Images/s of `fit` and of a bare loop of its steps (default: bf16 where the device has it)",
        "loops": "The same U-Net in four loops",
        "switches": "Images/s with other switches of MEDSYNTH_SPEED",
        "useful": "EDM trained for some seconds, and the Dice of a U-Net trained on its samples",
    }
    text = [f"# GPU check: {found['device']}", f"torch {found['versions']['torch']}, commit {found['commit']}"]
    for part, title in titles.items():
        rows = found[part]
        columns = list(dict.fromkeys(key for row in rows.values() for key in row))
        if rows:
            text += ["", f"## {title}", "", "| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
            text += [
                "| " + " | ".join([name, *(str(row.get(key, "")) for key in columns)]) + " |"
                for name, row in rows.items()
            ]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
