"""What the compose files say, as Compose understands them: variables put in, one file laid over another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vector_pipeline_tests.deployment.dockerfile import Stage, read_stages
from vector_pipeline_tests.deployment.interpolation import interpolated

DOCKER = Path(__file__).resolve().parents[2] / "docker"
COMPOSE = DOCKER / "compose.yaml"
PRODUCTION = DOCKER / "compose.prod.yaml"
WORKERS = DOCKER / "compose.celery.yaml"


class _Reset(list[Any]):
    """What stands behind `!reset`: it takes the place of what was there."""


class _Loader(yaml.SafeLoader):
    pass


_Loader.add_constructor("!reset", lambda loader, node: _Reset(loader.construct_sequence(node)))


@dataclass(frozen=True)
class Service:
    """One service, with what it has from its image if it is one of ours."""

    name: str
    written: dict[str, Any]
    stage: Stage | None

    @property
    def command(self) -> list[str]:
        """All of it; of an image that is not ours, what the file adds."""
        own = self.written.get("command")
        if self.stage is None:
            return list(own or ())
        return [*self.stage.entrypoint, *(own or self.stage.command)]

    @property
    def environment(self) -> dict[str, str]:
        """The image's and the file's own."""
        return {**(self.stage.environment if self.stage else {}), **self.written.get("environment", {})}

    @property
    def health(self) -> list[str]:
        """How its health is asked; empty where it is not."""
        check = self.written.get("healthcheck", {})
        if check.get("disable"):
            return []
        if "test" in check:
            return list(check["test"][1:])
        return list(self.stage.health) if self.stage else []

    @property
    def waits_for(self) -> dict[str, str]:
        """The services that come before it, each with what has to be true of it."""
        return {name: how["condition"] for name, how in self.written.get("depends_on", {}).items()}

    @property
    def stop_seconds(self) -> int:
        """How long it may take to end; ten seconds are Compose's own."""
        return int(str(self.written.get("stop_grace_period", "10s")).removesuffix("s"))

    def list_of(self, name: str) -> list[Any]:
        return list(self.written.get(name, ()))


def read_file(path: Path) -> dict[str, Any]:
    """One file as it is written, with anchors followed."""
    read: dict[str, Any] = yaml.load(path.read_text(), Loader=_Loader)
    return read


def read_services(variables: Mapping[str, str], files: Sequence[Path] = (COMPOSE,)) -> dict[str, Service]:
    """All services of files that are laid over each other."""
    merged: dict[str, Any] = {}
    for path in files:
        merged = _laid_over(merged, interpolated(read_file(path), variables))
    stages = read_stages(DOCKER / "Dockerfile")
    return {
        name: Service(name, written, stages[written["build"]["target"]] if "build" in written else None)
        for name, written in merged["services"].items()
    }


def _laid_over(below: Any, above: Any) -> Any:
    if isinstance(above, _Reset):
        return list(above)
    if isinstance(below, dict) and isinstance(above, dict):
        return {name: _laid_over(below.get(name), above.get(name, below.get(name))) for name in {**below, **above}}
    if isinstance(below, list) and isinstance(above, list) and below is not above:
        return [*below, *(one for one in above if one not in below)]
    return above
