"""No step hands another anything through Dagster, and what a job returns is in its run's metadata: nothing is kept.

Dagster's `mem_io_manager` keeps nothing either, but Dagster then refuses to start a killed run again with the steps
that it had not done: the others' results, which nobody asks for, are gone with its memory.
"""

from __future__ import annotations

import dagster as dg


class NothingKept(dg.IOManager):
    """The IO manager of this deployment. Runs may begin on one machine and go on on another."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Lets it go."""

    def load_input(self, context: dg.InputContext) -> object:
        """
        Raises:
            DagsterInvariantViolationError: always; an asset depends on others by `deps`, and reads the databases.
        """
        raise dg.DagsterInvariantViolationError(f"{context.name} is to be a result of another step: none is kept")
