"""Dagster as it runs in production, for the length of a benchmark: a daemon, a code server, an instance of their own.

The project is a copy of the package that declares the benchmark's index and nothing else, so that what others edit
meanwhile changes no figure.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg

from vector_pipeline.core.settings import Settings
from vector_pipeline.orchestration.pools import set_pool_limits
from vector_pipeline.project_folder import PACKAGE_PARENT
from vector_pipeline_tests.components.declared import written
from vector_pipeline_tests.dagster_instances import DagsterStorage, InFiles, new_home_of_processes
from vector_pipeline_tests.environments import variables_of

_STOP_SECONDS = 30.0
_LAST_WORDS = 4_000


@contextmanager
def dagster_daemon(
    folder: Path,
    attributes: Mapping[str, Any],
    settings: Settings,
    storage: DagsterStorage | None = None,
    configuration: Path | None = None,
) -> Iterator[dg.DagsterInstance]:
    """Runs the daemon over one declared index; nothing that it starts outlives the block.

    Args:
        folder: an empty folder for the project, the instance and the log.
        attributes: of the index, as they stand in its YAML file.
        storage: where the instance keeps its history; in files unless it is given.
        configuration: of the instance, with storage and all, instead of this project's. The variables that it names
            have to be set in this process, too.
    """
    project, home = copy_project(folder, attributes), folder / "home"
    if configuration is None:
        new_home_of_processes(home, storage or InFiles())
    else:
        home.mkdir()
        shutil.copy(configuration, home / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        set_pool_limits(instance)
        with _running(project, home, _environment(project, home, settings)):
            yield instance


def copy_project(folder: Path, attributes: Mapping[str, Any]) -> Path:
    """A copy of the package in the folder's `project`, which declares one index and nothing else."""
    project = folder / "project"
    package = project / "vector_pipeline"
    shutil.copytree(PACKAGE_PARENT / "vector_pipeline", package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(PACKAGE_PARENT / name, project)
    for index in (folder for folder in (package / "defs").iterdir() if folder.is_dir()):
        shutil.rmtree(index)
    declared = package / "defs" / str(attributes["name"]) / "defs.yaml"
    declared.parent.mkdir()
    declared.write_text(written(attributes))
    return project


def _environment(project: Path, home: Path, settings: Settings) -> dict[str, str]:
    ours = {"DAGSTER_HOME": str(home), "PYTHONPATH": str(project)}
    return os.environ | ours | variables_of(settings)


@contextmanager
def _running(project: Path, home: Path, environment: Mapping[str, str]) -> Iterator[None]:
    program = str(Path(sys.executable).parent / "dagster-daemon")
    with (home / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "run", "-w", str(project / "workspace.yaml")],
            cwd=project,
            env=dict(environment),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield
        except TimeoutError as error:
            error.add_note((home / "daemon.log").read_text(errors="replace")[-_LAST_WORDS:])
            raise
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
