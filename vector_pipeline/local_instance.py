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
        ConfigurationError: DAGSTER_HOME names a folder that is not there, which Dagster would refuse later; or none is
            named, and the project's own can't be made.
    """
    named = os.environ.get(HOME_VARIABLE)
    if named:
        home = Path(named)
        if not home.is_absolute() or not home.is_dir():
            raise ConfigurationError(f"{HOME_VARIABLE} is {named!r}: name an existing folder by its absolute path")
        return home
    folder = working_folder()
    home = folder / ".dagster"
    own = folder / "dagster.yaml"
    try:
        home.mkdir(exist_ok=True)
        shutil.copyfile(own if own.exists() else SHIPPED / "dagster.yaml", home / "dagster.yaml")
    except OSError as error:
        raise ConfigurationError(
            f"Dagster's runs can't be kept in {home} ({error.strerror}): set {HOME_VARIABLE} to a folder of yours"
        ) from None
    os.environ[HOME_VARIABLE] = str(home)
    return home
