"""What Dagster loads: the indexes of a folder, with the resources, jobs and run-time indexes that go with any of them.

The folder need not be part of this package, nor be importable: who installs vector-pipeline keeps YAML files of their
own wherever they like.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

import dagster as dg

from vector_pipeline.project_folder import OWN_DEFS

LOCATION_NAME = "vector_pipeline"
_OWN_MODULE = "vector_pipeline.defs"
_MODULE_OF_A_FOLDER = "vector_pipeline_declared"


def load_location(folder: Path) -> dg.Definitions:
    """Everything that Dagster finds in a folder, and what this package has for every deployment."""
    # What dg.load_from_defs_folder does, which asks for a pyproject.toml above an importable module.
    module = importlib.import_module(_OWN_MODULE) if folder == OWN_DEFS else _module_of(folder)
    tree = dg.ComponentTree(defs_module=module, project_root=folder.parent, code_location_name=LOCATION_NAME)
    if folder == OWN_DEFS:
        return tree.build_defs()
    from vector_pipeline.defs.declared_at_run_time import declared_at_run_time  # noqa: PLC0415
    from vector_pipeline.defs.deployment import deployment  # noqa: PLC0415

    return dg.Definitions.merge(tree.build_defs(), deployment(), declared_at_run_time())


def _module_of(folder: Path) -> ModuleType:
    """A package whose modules are the Python files in the folder, should there be any."""
    specification = ModuleSpec(_MODULE_OF_A_FOLDER, loader=None, is_package=True)
    specification.submodule_search_locations = [str(folder)]
    module = module_from_spec(specification)
    module.__file__ = None
    sys.modules[_MODULE_OF_A_FOLDER] = module
    return module
