"""Asks pip-audit whether anything in a list of components (CycloneDX, JSON) has a known vulnerability.

`python -m releasing.audit COMPONENTS`. pip-audit calls a package that it could not ask about "skipped" and still ends
with "No known vulnerabilities found"; here that is no clean result. Which service is asked, and where, is said by
pip-audit's own variables (PIP_AUDIT_VULNERABILITY_SERVICE=osv, PIP_AUDIT_OSV_URL).

Ends with 0 if all were asked about and nothing is known, 1 if something is, 3 if some or all could not be asked about.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CLEAN, VULNERABLE, NOT_ASKED = 0, 1, 3
_SECONDS_A_PACKAGE = 15


@dataclass(frozen=True)
class Audit:
    """What is known: names of packages by what was learned of them."""

    asked: int
    vulnerable: dict[str, list[str]]
    not_asked: dict[str, str]

    @property
    def status(self) -> int:
        if self.vulnerable:
            return VULNERABLE
        return NOT_ASKED if self.not_asked or not self.asked else CLEAN


def main(components: Path) -> int:
    pins = pins_of(json.loads(components.read_text()))
    # One of them tells whether anybody answers: without that each of the others would wait for a time-out.
    first = run_pip_audit(pins[:1])
    audit = first if first.not_asked else run_pip_audit(pins)
    for package, advisories in audit.vulnerable.items():
        print(f"VULNERABLE: {package}: {', '.join(advisories)}")
    for package, reason in list(audit.not_asked.items())[:3]:
        print(f"not asked about: {package}: {reason}")
    print(
        f"{audit.asked} of {len(pins)} packages were asked about, {len(audit.vulnerable)} have known vulnerabilities"
        + ("" if audit.status != NOT_ASKED else ": THIS IS NO CLEAN RESULT (docs/release.md, Vulnerabilities)")
    )
    return audit.status


def pins_of(components: dict[str, list[dict[str, str]]]) -> list[str]:
    """Each component as a requirement."""
    return sorted(f"{one['name']}=={one['version']}" for one in components["components"] if "purl" in one)


def run_pip_audit(pins: list[str]) -> Audit:
    """Asks about each of these versions, and not about what they need."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("\n".join(pins))
        command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
        try:
            ran = subprocess.run(
                [*command, "--format", "json", "--requirement", str(requirements)],
                capture_output=True,
                text=True,
                check=False,
                timeout=60 + _SECONDS_A_PACKAGE * len(pins),
            )
        except subprocess.TimeoutExpired:
            return Audit(0, {}, {pins[0]: "pip-audit got no answer in time"})
    return read_answer(ran.stdout, ran.stderr, pins)


def read_answer(said: str, complained: str, pins: list[str]) -> Audit:
    """What pip-audit's JSON says; nothing at all is learned where it has none."""
    try:
        dependencies = json.loads(said)["dependencies"]
    except (ValueError, KeyError):
        last = complained.strip().splitlines()[-1:] or ["it said nothing"]
        return Audit(0, {}, {pins[0]: f"pip-audit: {last[0][:300]}"})
    not_asked = {one["name"]: one["skip_reason"] for one in dependencies if "skip_reason" in one}
    vulnerable = {
        f"{one['name']} {one['version']}": [found["id"] for found in one["vulns"]]
        for one in dependencies
        if one.get("vulns")
    }
    return Audit(len(dependencies) - len(not_asked), vulnerable, not_asked)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
