"""The tutorial, step by step on a stack of its own: each command gives what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from vector_pipeline.embedded.ports import choose_port
from vector_pipeline_tests.conftest import PROJECT
from vector_pipeline_tests.documentation.blocks import DOCS, Block, blocks
from vector_pipeline_tests.documentation.shell import typed

PAGE = "docs/tutorial.md"
_PORT = "5000"
_KEPT = (
    "vector_pipeline",
    "pyproject.toml",
    "constraints.txt",
    "Makefile",
    "dagster.yaml",
    "workspace.yaml",
    "scripts",
)
_STAYS_UP = "vector-pipeline serve"
_ELSEWHERE = ("DB_", "PG", "EMBEDDING_", "VECTOR_PIPELINE_", "DAGSTER_", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Step:
    """A command, and what the page shows of what it prints; … stands for anything."""

    block: Block
    command: str
    shown: str


def steps() -> Iterator[Step | Block]:
    """What a reader types, and files that they write, in order."""
    for block in blocks():
        if block.page != PAGE:
            continue
        if block.language == "bash":
            yield Step(block, block.text, "")
        elif block.language == "console":
            starts = [found.start() for found in re.finditer(r"^\$ ", block.text, re.MULTILINE)]
            for here, following in pairwise([*starts, len(block.text)]):
                part = Block(block.page, block.line, "console", block.text[here:following])
                [command] = typed(part)
                lines = part.text.splitlines()
                printed = lines[1 + sum(line.endswith("\\") for line in lines) :]
                yield Step(part, command, "\n".join(printed))
        elif block.language == "yaml":
            yield block


def file_named(block: Block) -> str:
    """The file that a block's title names."""
    line = (DOCS.parent / block.page).read_text(encoding="utf-8").splitlines()[block.line - 2]
    [named] = re.findall(r'title="([^"]+)"', line)
    return named


@dataclass
class Reader:
    """Who follows the tutorial, in a shell that stays open."""

    folder: Path
    port: str
    shell: subprocess.Popen[str]
    serving: ExitStack

    def type(self, command: str) -> str:
        """Types a command, and reads what it prints."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f"{command.replace(_PORT, self.port)}\nprintf '\\nended %s\\n' $?\n")
        self.shell.stdin.flush()
        printed = []
        for line in self.shell.stdout:
            if found := re.match(r"ended (\d+)$", line):
                assert found[1] == "0", f"{command}\n{''.join(printed)}"
                return "".join(printed).replace(self.port, _PORT)
            printed.append(line)
        raise AssertionError(f"the shell ended at: {command}\n{''.join(printed)}")

    def serve(self, command: str) -> None:
        """Starts the service in another terminal, and waits until it answers."""
        self.serving.enter_context(_ended(subprocess.Popen(command.split(), cwd=self.folder, env=self.environment)))
        _wait_for(f"http://127.0.0.1:{self.port}/healthcheck")

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.folder) | {"VECTOR_PIPELINE_PORT": self.port}


def environment(folder: Path) -> dict[str, str]:
    """That of somebody who has just made a clone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_ELSEWHERE)}
    return kept | {"PYTHONPATH": str(folder), "COLUMNS": "80", "NO_COLOR": "1"}


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@retry(stop=stop_after_delay(60), wait=wait_fixed(0.2), retry=retry_if_exception_type(httpx.TransportError))
def _wait_for(url: str) -> None:
    httpx.get(url).raise_for_status()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    folder = tmp_path / "vector-pipeline"
    folder.mkdir()
    for name in _KEPT:
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy2
        copy(PROJECT / name, folder / name)
    (folder / ".venv").symlink_to((PROJECT / ".venv").resolve())
    shell = subprocess.Popen(
        ["bash"],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with ExitStack() as serving:
        reader = Reader(folder, str(choose_port()), shell, serving)
        # What is installed already is not installed again.
        reader.type('make() { command make -o .venv/.installed "$@"; }')
        try:
            yield reader
        finally:
            subprocess.run(
                [folder / ".venv" / "bin" / "vector-pipeline", "stack", "down"],
                cwd=folder,
                env=environment(folder),
                check=True,
            )
            serving.close()
            assert shell.stdin is not None
            shell.stdin.close()
            shell.wait(60)


def fits(shown: str, printed: str) -> bool:
    """Whether what was printed is what the page shows, but for white space and for what … stands for."""
    wanted = [re.escape("".join(part.split())) for part in shown.split("…")]
    return re.search(".*?".join(wanted), "".join(printed.split())) is not None


@pytest.mark.long
def test_each_step_gives_what_the_page_shows(reader: Reader) -> None:
    done = 0
    for step in steps():
        if isinstance(step, Block):
            file = reader.folder / file_named(step)
            assert file.exists(), "what is edited was scaffolded"
            file.write_text(step.text)
        elif _STAYS_UP in step.command:
            reader.serve(step.command)
        else:
            printed = reader.type(step.command)
            assert fits(step.shown, printed), f"{step.block}: {step.command}\nshown:\n{step.shown}\nprinted:\n{printed}"
            done += 1

    assert done > 12


@pytest.mark.parametrize(
    ("shown", "printed", "fit"),
    [
        ("a … d", "a b c d", True),
        ("│ rows │ 6 │\n…\nequal", "x\n│ rows  │ 6 │\n│ more │\nequal\n", True),
        ("│ rows │ 6 │", "│ rows │ 7 │", False),
        ("", "anything", True),
    ],
)
def test_what_is_shown_is_held_against_what_is_printed(shown: str, printed: str, fit: bool) -> None:
    assert fits(shown, printed) is fit
