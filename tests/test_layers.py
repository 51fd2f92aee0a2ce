"""Imports go down only, from package to package; `core` could be lifted out alone."""

import ast
import sys
from pathlib import Path

import pytest

import medsynth_lib as ms

LIBRARY = Path(ms.__file__).parent
# From the lowest to the highest: each may use those before it.
LAYERS = ("core", "data", "metrics", "plots", "models", "experiment", "evaluation", "studies", "course")
OF_CORE = {"torch", "lightning_fabric", "safetensors", "numpy", "joblib", "tqdm", "filelock", "psutil"}


def imports(file: Path) -> set[str]:
    """Modules that a file imports, by their full names; also within functions."""
    package, found = ("medsynth_lib", *file.relative_to(LIBRARY).parent.parts), set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


FILES = {str(p.relative_to(LIBRARY)): p for p in sorted(LIBRARY.rglob("*.py")) if p.parent != LIBRARY}


@pytest.mark.parametrize("name", FILES)
def test_imports_go_down_only(name):
    mine = LAYERS.index(Path(name).parts[0])
    for module in imports(FILES[name]):
        if module.startswith("medsynth_lib."):
            other = module.split(".")[1]
            assert other in LAYERS[: mine + 1], f"{name} imports {module}, which lies above it"


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("core")])
def test_core_stands_alone(name):
    for module in imports(FILES[name]):
        first = module.split(".")[0]
        assert module.startswith("medsynth_lib.core") or first in OF_CORE | set(sys.stdlib_module_names), module
