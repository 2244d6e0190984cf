"""Builders of declarations: attributes as they stand in a YAML file, and a folder of such files that Dagster loads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster.components.testing.utils import create_defs_folder_sandbox

from vector_pipeline.declarations import Declaration, read_declarations
from vector_pipeline.orchestration.resources import indexes_from_environment

COMPONENT = "vector_pipeline.components.VectorIndexComponent"


def faq_attributes(name: str = "faq", **changes: Any) -> dict[str, Any]:
    """Attributes over the table `faq`; `changes` replace whole sections."""
    attributes: dict[str, Any] = {
        "name": name,
        "source": {"table": "faq", "primary_key": "id"},
        "document": {"text": {"question": "question"}, "metadata": {"link": "link"}},
    }
    return attributes | changes


def written(*documents: Mapping[str, Any]) -> str:
    """Declarations as one YAML file holds them."""
    return yaml.safe_dump_all([{"type": COMPONENT, "attributes": dict(d)} for d in documents], sort_keys=False)


class Location:
    """A code location of some declarations, and the same declarations as the command line reads them."""

    def __init__(self, folder: Path, definitions: dg.Definitions) -> None:
        self.folder = folder
        self.definitions = definitions

    @property
    def declarations(self) -> list[Declaration]:
        return read_declarations(self.folder)

    def spec(self, key: dg.AssetKey) -> dg.AssetSpec:
        return next(spec for spec in self.definitions.resolve_all_asset_specs() if spec.key == key)

    @property
    def groups(self) -> set[str]:
        return {spec.group_name or "" for spec in self.definitions.resolve_all_asset_specs()}

    @property
    def wrong_group(self) -> str:
        """The group of the one index beside `faq`."""
        (group,) = self.groups - {"faq"}
        return group


@contextmanager
def location(**files: str) -> Iterator[Location]:
    """Loads a location with these files, each in a folder of its own."""
    with create_defs_folder_sandbox() as sandbox:
        for folder, text in files.items():
            path = sandbox.defs_folder_path / folder / "defs.yaml"
            path.parent.mkdir()
            path.write_text(text)
        with sandbox.build_all_defs() as loaded:
            resources = dg.Definitions(
                resources={"indexes": indexes_from_environment()}, executor=dg.in_process_executor
            )
            definitions = dg.Definitions.merge(loaded, resources)
            dg.Definitions.validate_loadable(definitions)
            yield Location(sandbox.defs_folder_path, definitions)
