"""What works on this machine, in a few lines, each problem with its fix. It runs even where nothing is installed."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..core.provenance import REPOSITORY
from ..experiment import options

PYTHONS = ((3, 11), (3, 14))
PINS = ("requirements.lock", "requirements-torch.txt")
INSTALL = "install again: python install.py"
VARIABLES = {"DATA", "HEADLESS", "PROFILE", "RUNS", "SPEED", "THREADS"}
DISK, MEMORY = 2, 2  # GB that should be free


@dataclass(frozen=True)
class Finding:
    """One line of the report. `fix`, if not empty: something needed is broken, and how to fix it."""

    about: str
    text: str
    fix: str = ""


def python() -> Finding:
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    low, high = (".".join(map(str, bound)) for bound in PYTHONS)
    if PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        return Finding("Python", text)
    return Finding("Python", text, f"install Python {low} to {high} and run install.py with it")


def pinned(folder: Path = REPOSITORY) -> dict[str, str]:
    """The pinned version of every package that this Python and system need."""
    from packaging.requirements import Requirement

    found = {}
    for name in PINS:
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            if line[:1].isalnum():
                wanted = Requirement(line.rstrip("\\ "))
                if wanted.marker is None or wanted.marker.evaluate():
                    found[wanted.name] = next(iter(wanted.specifier)).version
    return found


def packages(folder: Path = REPOSITORY) -> Finding:
    try:
        pins = pinned(folder)
    except (ImportError, OSError) as error:
        return Finding("packages", f"the lock cannot be read ({error})", INSTALL)
    missing, other = [], []
    for name, pin in pins.items():
        try:
            found = version(name).split("+")[0]
        except PackageNotFoundError:
            missing.append(name)
        else:
            other += [f"{name} {found} (lock: {pin})"] if found != pin else []
    text = f"{len(pins) - len(missing) - len(other)} of {len(pins)} as in {PINS[0]}"
    text += f"; other versions: {listed(other)}" if other else ""
    return Finding("packages", text + (f"; missing: {listed(missing)}" if missing else ""), INSTALL if missing else "")


def listed(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def torch() -> Finding:
    try:
        found = importlib.import_module("torch")
    except (ImportError, OSError) as error:  # OSError: Windows does not find one of its libraries
        return Finding("torch", f"cannot be imported ({first_line(error)})", INSTALL)
    if not found.cuda.is_available():
        return Finding("torch", f"{found.__version__} on the CPU; bf16 no (used on GPUs only)")
    bf16 = "yes" if found.cuda.is_bf16_supported(including_emulation=False) else "no (this GPU would only emulate it)"
    memory = found.cuda.get_device_properties(0).total_memory / 1e9
    return Finding("torch", f"{found.__version__} on {found.cuda.get_device_name(0)}, {memory:.0f} GB; bf16 {bf16}")


def torchvision() -> Finding:
    if importlib.util.find_spec("torchvision") is None:
        return Finding("torchvision", "not installed, and not needed")
    try:
        from ..experiment.run import refuse_broken_torchvision

        refuse_broken_torchvision()
    except RuntimeError as error:
        return Finding("torchvision", first_line(error), "python -m pip uninstall torchvision")
    except ImportError as error:
        return Finding("torchvision", f"not checked ({first_line(error)})")
    return Finding("torchvision", "installed, fits torch")


def snakemake() -> Finding:
    try:
        importlib.import_module("snakemake.cli")
        return Finding("snakemake", version("snakemake"))
    except ImportError as error:
        return Finding("snakemake", f"cannot be imported ({first_line(error)})", INSTALL)


def make() -> Finding:
    absent = [name for name in ("make", "bash") if shutil.which(name) is None]
    if not absent:
        return Finding("make, bash", "found")
    return Finding("make, bash", f"no {' and no '.join(absent)}; type python -m medsynth_lib reproduce (see README)")


def disk() -> Finding:
    root = runs = Path(os.environ.get("MEDSYNTH_RUNS") or REPOSITORY / "runs").absolute()
    while not root.exists():
        root = root.parent
    free = shutil.disk_usage(root).free / 1e9
    text = f"{free:.0f} GB free in {runs}"
    if not root.is_dir() or not os.access(root, os.W_OK):
        return Finding("disk", f"{runs} cannot be written", "set MEDSYNTH_RUNS to a folder of yours")
    return Finding("disk", text, "free space, or set MEDSYNTH_RUNS to a folder elsewhere" if free < DISK else "")


def memory() -> Finding:
    try:
        found = importlib.import_module("psutil").virtual_memory()
    except ImportError as error:
        return Finding("memory", f"not known ({first_line(error)})", INSTALL)
    text = f"{found.available / 1e9:.0f} of {found.total / 1e9:.0f} GB free"
    return Finding("memory", text, "close other programs" if found.available < MEMORY * 1e9 else "")


def variables() -> Finding:
    found = {name: value for name, value in sorted(os.environ.items()) if name.startswith("MEDSYNTH_")}
    text = ", ".join(f"{name}={value}" for name, value in found.items()) or "no MEDSYNTH_ variable is set"
    unknown = [name for name in found if name.removeprefix("MEDSYNTH_") not in VARIABLES]
    if unknown:
        known = ", ".join(f"MEDSYNTH_{name}" for name in sorted(VARIABLES))
        return Finding("variables", text, f"correct or unset {', '.join(unknown)}; known: {known}")
    if not (found.get("MEDSYNTH_THREADS") or "1").isdecimal():
        return Finding("variables", text, "set MEDSYNTH_THREADS to a whole number")
    try:
        importlib.import_module("medsynth_lib.core.devices").switched_on()
    except ValueError as error:
        return Finding("variables", text, str(error))
    except (ImportError, OSError):
        pass  # reported for torch already
    return Finding("variables", text)


def data() -> Finding:
    try:
        from ..data.decathlon import TASKS
        from ..data.registry import data_root

        root = data_root()
        there = {name: root / task.folder for name, task in TASKS.items()}
        there["pneumoniamnist"] = root / "medmnist" / "pneumoniamnist.npz"
    except (ImportError, OSError) as error:
        return Finding("data", f"not checked ({first_line(error)})")
    found = [name for name, path in there.items() if path.exists()]
    absent = [name for name in there if name not in found]
    text = ", ".join(["phantom", "phantom-uniform", *found])
    text += f"; not yet in {root}: {', '.join(absent)}" if absent else ""
    return Finding("data", text)


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


CHECKS: tuple[Callable[[], Finding], ...] = (
    *(python, packages, torch, torchvision, snakemake, make),
    *(disk, memory, variables, data),
)


def findings() -> Iterator[Finding]:
    return (check() for check in CHECKS)


def main(arguments: list[str] | None = None) -> int:
    options.doctor().parse_args(arguments)
    problems = 0
    for found in findings():
        problems += bool(found.fix)
        print(f"{found.about:12s} {found.text}", flush=True)
        if found.fix:
            print(f"{'':12s} fix: {found.fix.rstrip('.')}.", flush=True)
    print(f"{problems} problem{'s' if problems > 1 else ''}" if problems else "everything that is needed works")
    return 1 if problems else 0
