"""One deployment for all runbooks: each test breaks it, follows the runbook, and leaves it whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vector_pipeline_tests.dagster_instances import FreshStorage
from vector_pipeline_tests.operations.site import Site, site_in
from vector_pipeline_tests.operations.volume import Volume, small_volume

# The log of a few thousand rows needs some hundred of them.
_MEGABYTES = 600


@pytest.fixture(scope="package")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volume]:
    """What PostgreSQL's data lie on."""
    with small_volume(tmp_path_factory.mktemp("volume") / "data", _MEGABYTES) as volume:
        yield volume


@pytest.fixture(scope="package")
def site(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    volume: Volume,
    fresh_dagster_storage: FreshStorage,
) -> Iterator[Site]:
    """It runs, with 250 rows in step."""
    folder = tmp_path_factory.mktemp("site")
    with fresh_dagster_storage(request) as storage, site_in(folder, storage, volume.path / "postgres") as site:
        site.add_rows(1, 250)
        site.sync()
        yield site
