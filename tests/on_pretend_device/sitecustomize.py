"""Python starts with this when the folder is on PYTHONPATH: trainings and searches then use the pretend device.

No connection leaves this machine, as with tests/offline.
"""

import os
import runpy
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.append(str(TESTS))
runpy.run_path(str(TESTS / "offline" / "sitecustomize.py"))
CHANGED = ("medsynth_lib.core.devices", "medsynth_lib.metrics.device")


class Finder(MetaPathFinder):
    """Has these modules changed right after they are imported, so that processes without torch stay without it."""

    def find_spec(self, name, path, target=None):
        if name not in CHANGED:
            return None
        spec = PathFinder.find_spec(name, path)
        spec.loader = Changing(spec.loader)
        return spec


class Changing(Loader):
    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        from pretend_device import DEVICE, PretendFabric

        if module.__name__ == CHANGED[0]:
            module.make_fabric = lambda device="auto": PretendFabric()
        else:
            module.search_device = lambda: DEVICE


if not os.environ.get("MEDSYNTH_NO_PRETENCE"):
    sys.meta_path.insert(0, Finder())
