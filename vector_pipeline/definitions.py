"""The code location: loads everything in `defs/`."""

import os
from pathlib import Path

import dagster as dg

from vector_pipeline.core.settings import read_secrets


@dg.definitions
def defs() -> dg.Definitions:
    os.environ.update(read_secrets())  # what Dagster binds to variables knows nothing of their files
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
