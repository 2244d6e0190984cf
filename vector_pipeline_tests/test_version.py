"""pyproject.toml alone has the version; what else names it agrees."""

from __future__ import annotations

import re
import tomllib

from vector_pipeline_tests.conftest import PROJECT

VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]


def test_the_changelog_has_the_version_or_what_will_be_in_the_next_one() -> None:
    headings = re.findall(r"^## \[(.+?)\](.*)$", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0][0] in ("Unreleased", VERSION)
    released = [(name, rest) for name, rest in headings if name != "Unreleased"]
    assert [name for name, _ in released][:1] == [VERSION]
    assert all(re.fullmatch(r" - \d{4}-\d\d-\d\d", rest) for _, rest in released)
    numbers = [tuple(map(int, name.split("."))) for name, _ in released]
    assert numbers == sorted(numbers, reverse=True)


def test_the_images_carry_the_version() -> None:
    assert f"\nARG VERSION={VERSION}\n" in (PROJECT / "docker" / "Dockerfile").read_text()
