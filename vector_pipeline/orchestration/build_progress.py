"""How far the building of an ANN index is, in the log of its run."""

from __future__ import annotations

import logging
from collections.abc import Callable

from vector_pipeline.core.store.ann_building import BuildProgress

_TIMES_TOLD = 20


def tell_of_build(log: logging.Logger) -> Callable[[BuildProgress], None]:
    """Logs each twentieth of a build, and each new phase."""
    told: tuple[str, str, int] | None = None

    def tell(progress: BuildProgress) -> None:
        nonlocal told
        step = progress.field, progress.phase, _TIMES_TOLD * progress.done // max(1, progress.total)
        if step != told:
            told = step
            log.info(
                "ANN index of %s: %s, %s of %s vectors",
                progress.field,
                progress.phase,
                f"{progress.done:,}",
                f"{progress.total:,}",
            )

    return tell
