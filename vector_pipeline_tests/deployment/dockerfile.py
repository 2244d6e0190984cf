"""What the Dockerfile says of its stages: what each is made from, its variables, its command, how health is asked."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """One target; all that it has from the stages that it is made from included."""

    base: str
    user: str = "root"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    folder: str = "/"
    environment: dict[str, str] = field(default_factory=dict)


def read_stages(path: Path) -> dict[str, Stage]:
    """All of them, by name."""
    stages: dict[str, Stage] = {}
    arguments: dict[str, str] = {}
    name = ""
    for instruction, rest in _instructions(path):
        if instruction == "ARG" and not stages:
            argument, _, value = rest.partition("=")
            arguments[f"${{{argument}}}"] = value
        elif instruction == "FROM":
            base, _, name = rest.split()
            stages[name] = replace(stages[base]) if base in stages else Stage(arguments.get(base, base))
        elif stages:
            stages[name] = _with(stages[name], instruction, rest)
    return stages


def _with(stage: Stage, instruction: str, rest: str) -> Stage:
    match instruction:
        case "USER":
            stage = replace(stage, user=rest)
        case "WORKDIR":
            stage = replace(stage, folder=rest)
        case "ENTRYPOINT":
            stage = replace(stage, entrypoint=tuple(json.loads(rest)))
        case "CMD":
            stage = replace(stage, command=tuple(json.loads(rest)))
        case "HEALTHCHECK":
            stage = replace(stage, health=tuple(json.loads(rest[rest.index("CMD ") + 4 :])))
        case "ENV":
            set_here = dict(one.split("=", 1) for one in shlex.split(rest))
            stage = replace(stage, environment=stage.environment | set_here)
    return stage


def _instructions(path: Path) -> list[tuple[str, str]]:
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(words[0], words[1]) for line in joined.splitlines() if len(words := line.strip().split(None, 1)) == 2]
