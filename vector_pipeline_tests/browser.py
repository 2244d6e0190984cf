"""Headless Chromium for the tests that look at pages."""

from __future__ import annotations

import shutil

import pytest

KEEP_IN = "VECTOR_PIPELINE_SCREENSHOTS"
"""The variable that names the folder to which pictures of the documentation go."""

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """The browser's program; skips the test where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("THE USER INTERFACE IS NOT TESTED: there is no chromium (on Debian: apt-get install chromium)")
