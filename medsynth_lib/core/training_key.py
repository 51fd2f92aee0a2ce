"""The key of a training: hashes of its data, of its code and of its monitor.

Code in files is hashed as source without comments and docstrings. Code in a notebook (`__main__`) is hashed as
bytecode, with the functions, classes and plain values of the notebook that it uses: a changed cell makes another
training, a changed comment does not.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from types import CodeType, FunctionType, ModuleType

import numpy as np
from torch import Tensor, nn

from .provenance import sources_hash

PACKAGE = __package__.split(".")[0]
LOOP = ("trainer", "training_files", "method", "ema", "devices", "processes", "seeding")  # the loop's own modules
# Of `data`, only code that works on batches counts: the hash of the data covers the readers.
BATCH_CODE = tuple(f"{PACKAGE}.data.{name}" for name in ("augment", "foreground", "joint", "masks", "unpaired"))
PLAIN = (int, float, complex, str, bytes, bool, type(None))


def key_of(plan: dict) -> str:
    """sha256 (16 hex digits) of a plan of plain values."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]


def data_hash(tensors: dict[str, Tensor]) -> str:
    """sha256 (16 hex digits) of names, shapes and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.contiguous().cpu().numpy().data)
    return digest.hexdigest()[:16]


def code_hash(cls: type) -> str:
    """Hash of the code of the class `cls`, of what it uses from this package or a notebook, and of the loop."""
    found = Found()
    found.look_at(cls)
    for name in LOOP:
        found.add_module(sys.modules[f"{__package__}.{name}"])
    return found.hash()


def value_hash(thing: object) -> str | None:
    """The same for a function that augments batches or evaluates a method, with all values it holds; None for None.

    Values are hashed by content: numbers, text, arrays, tensors, slice sets, and objects made of them. Of anything
    else (an open file, a random generator) only the type is hashed.
    """
    if thing is None:
        return None
    found = Found()
    found.look_at(thing)
    return found.hash()


class Found:
    """Collects all that a class or function uses, directly or indirectly."""

    def __init__(self):
        self.modules: dict[str, ModuleType] = {}
        self.parts: list[str] = []
        self.seen: set[int] = set()
        self.kept: list = []  # so that no id in `seen` is given to another object

    def hash(self) -> str:
        sources = [inspect.getsource(self.modules[name]) for name in sorted(self.modules)]
        return hashlib.sha256(json.dumps([sources_hash(sources), self.parts]).encode()).hexdigest()[:16]

    def look_at(self, thing: object) -> None:
        """Add a value, and what it holds or uses."""
        if isinstance(thing, PLAIN):
            self.parts.append(repr(thing))
            return
        if id(thing) in self.seen:
            return
        self.seen.add(id(thing))
        self.kept.append(thing)
        if isinstance(thing, Tensor):
            self.parts.append(data_hash({"": thing.detach()}))
        elif isinstance(thing, np.ndarray):
            self.parts.append(f"{thing.dtype}{thing.shape}")
            content = repr(thing.tolist()).encode() if thing.dtype == object else thing.tobytes()
            self.parts.append(hashlib.sha256(content).hexdigest())
        elif isinstance(thing, nn.Module):
            self.parts.append(data_hash(dict(thing.state_dict())))
        elif isinstance(thing, np.generic):
            self.parts.append(repr(thing.item()))
        elif isinstance(thing, ModuleType):
            self.add_module(thing)
        elif isinstance(thing, FunctionType):
            self._function(thing)
        elif isinstance(thing, type):
            self._class(thing)
        elif isinstance(thing, dict):
            for name, value in thing.items():
                self.parts.append(repr(name))
                self.look_at(value)
        elif isinstance(thing, list | tuple | set | frozenset):
            self.parts.append(f"{type(thing).__name__} {len(thing)}")
            for value in sorted(thing, key=repr) if isinstance(thing, set | frozenset) else thing:
                self.look_at(value)
        else:
            self._object(thing)

    def _object(self, thing: object) -> None:
        cls = type(thing)
        self.parts.append(f"{cls.__module__}.{cls.__qualname__}")
        if callable(getattr(thing, "hash", None)):  # a slice set, for example
            self.parts.append(thing.hash())
            return
        if hasattr(thing, "__func__"):  # a bound method
            self.look_at(thing.__func__)
            self.look_at(thing.__self__)
            return
        for name in ("func", "args", "keywords"):  # functools.partial
            if hasattr(thing, name) and cls.__module__ == "functools":
                self.look_at(getattr(thing, name))
        if _is_ours(cls.__module__):
            self.look_at(cls)
            self.look_at(dict(sorted(vars(thing).items())))

    def _function(self, function: FunctionType) -> None:
        for value in (function.__defaults__, function.__kwdefaults__):
            self.look_at(value)
        for cell in function.__closure__ or ():
            self.look_at(cell.cell_contents)
        if function.__module__ == "__main__":
            self._code(function.__code__, function.__globals__)
        elif module := sys.modules.get(function.__module__):
            self.parts.append(function.__qualname__)
            self.add_module(module)

    def _class(self, cls: type) -> None:
        for each in cls.__mro__:
            if each.__module__ == "__main__":
                self.parts.append(each.__qualname__)
                for name, value in sorted(vars(each).items()):
                    if not name.startswith("__") or isinstance(value, FunctionType):
                        self.parts.append(name)
                        self.look_at(getattr(value, "__func__", getattr(value, "fget", value)))
            elif _is_ours(each.__module__):
                self.parts.append(each.__qualname__)
                self.add_module(sys.modules[each.__module__])

    def _code(self, code: CodeType, names: dict) -> None:
        """Add the bytecode of a notebook's function, and the names of the notebook that it reads."""
        self.parts.append(hashlib.sha256(code.co_code).hexdigest()[:16])
        constants = code.co_consts
        if constants and isinstance(constants[0], str) and not code.co_name.startswith("<"):
            constants = constants[1:]  # the docstring
        for constant in constants:
            if isinstance(constant, CodeType):
                self._code(constant, names)
            else:
                self.parts.append(repr(constant))
        self.parts.append(" ".join(code.co_names))
        for name in code.co_names:
            if name in names:
                self.look_at(names[name])

    def add_module(self, module: ModuleType) -> None:
        """Add a module of this project, and all modules of it that this one uses."""
        name = module.__name__
        if name in self.modules or not _is_ours(name) or name == "__main__" or not hasattr(module, "__file__"):
            return
        if name == PACKAGE or (name.startswith(f"{PACKAGE}.data.") and name not in BATCH_CODE):
            return
        self.modules[name] = module
        for value in list(vars(module).values()):
            used = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(used, str) and used.startswith(PACKAGE + ".") and used in sys.modules:
                self.add_module(sys.modules[used])


def _is_ours(module: str) -> bool:
    """Whether this module belongs to this project or a student, and not to an installed library."""
    if module == "__main__" or module.split(".")[0] == PACKAGE:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return bool(file) and "site-packages" not in file and not file.startswith(sys.base_prefix)
