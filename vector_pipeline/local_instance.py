"""The Dagster instance that the command line works on: DAGSTER_HOME's, or the project's own in `.dagster`.

The project's own is configured by `dagster.yaml` at the top of the project, or as this package ships it, so that the
command line, `make dev` and the UI all see the same runs.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.project_folder import SHIPPED, working_folder

HOME_VARIABLE = "DAGSTER_HOME"


def ensure_dagster_home() -> Path:
    """Sets DAGSTER_HOME where it is not set, and makes the folder with the project's configuration.

    Raises:
        ConfigurationError: DAGSTER_HOME names a folder that is not there, which Dagster would refuse later.
    """
    named = os.environ.get(HOME_VARIABLE)
    if named:
        home = Path(named)
        if not home.is_absolute() or not home.is_dir():
            raise ConfigurationError(f"{HOME_VARIABLE} is {named!r}: name an existing folder by its absolute path")
        return home
    folder = working_folder()
    home = folder / ".dagster"
    home.mkdir(exist_ok=True)
    own = folder / "dagster.yaml"
    shutil.copyfile(own if own.exists() else SHIPPED / "dagster.yaml", home / "dagster.yaml")
    os.environ[HOME_VARIABLE] = str(home)
    return home
