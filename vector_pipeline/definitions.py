"""The code location: whatever is in `defs/`, of the project that this is started in or of this package."""

import os

import dagster as dg

from vector_pipeline.core.settings import read_secrets
from vector_pipeline.location import load_location
from vector_pipeline.project_folder import defs_folder


@dg.definitions
def defs() -> dg.Definitions:
    os.environ.update(read_secrets())  # what Dagster binds to variables knows nothing of their files
    return load_location(defs_folder())
