"""A call of a tool: who calls, and what of this deployment they may have.

Tools get at indexes through this alone, and what they get is checked here: there is no other place where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.declarations import Declaration, over_rows
from vector_pipeline.serving.access.caller import AccessRefusedError, Caller
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.mcp.arguments import Which


class CannotDoError(VectorPipelineError):
    """What is asked for can't be done, and the one who asks can put it right. Shown to them as it is."""


@dataclass(frozen=True)
class Asked:
    """A call that passed. `scope` is the one that the tool needs, which the caller has."""

    deployment: Deployment
    caller: Caller
    scope: AccessScope

    @classmethod
    def by(cls, caller: Caller, deployment: Deployment, scope: AccessScope) -> Asked:
        """Raises:
        AccessRefusedError: the caller lacks the scope.
        """
        caller.require(scope)
        return cls(deployment, caller, scope)

    def everything(self) -> list[Declaration]:
        """All indexes that the caller may use, by name."""
        declared = {one.spec.name: one for one in reversed(self.deployment.declarations())}
        return [declared[name] for name in self.caller.indexes(sorted(declared))]

    def named(self, which: Which) -> list[Declaration]:
        """The indexes that are meant, at least one: that of the name, or those over the table, or all.

        Raises:
            UnknownIndexError: there is none of that name.
            AccessRefusedError: it is not for this caller, whether there is one or not.
            CannotDoError: there is none.
        """
        if which.index is not None:
            self.caller.require(self.scope, which.index)
            found = [self.deployment.declaration(which.index)]
        else:
            # Who looks for rows doesn't mean the index of tables, unless they name it.
            found = over_rows(self.everything())
        fitting = [one for one in found if self._is_over(one, which)]
        if fitting:
            return fitting
        if which.index is None and which.database is None and which.table is None:
            raise CannotDoError("no index is declared yet; embed_index_table makes one")
        wanted = self._shown(which)
        if self.caller.only is not None and which.index is None:
            raise AccessRefusedError(403, f"{self.caller.name} is for no index over {wanted}")
        if which.index is not None:
            raise CannotDoError(f"index {which.index!r} is not over {wanted}, but over {self.place(found[0])}")
        raise CannotDoError(
            f"no index is over {wanted}; embed_list_indexes shows which there are, embed_index_table makes one"
        )

    def one(self, which: Which) -> Declaration:
        """The one index that is meant; raises as `named`, and where there are several."""
        found = self.named(which)
        if len(found) > 1:
            names = ", ".join(one.spec.name for one in found)
            raise CannotDoError(f"several indexes are meant: {names}; name one by `index`")
        return found[0]

    def database_of(self, declaration: Declaration) -> str:
        """The MySQL database of an index."""
        return declaration.spec.source.database or self.deployment.settings.source.database

    def place(self, declaration: Declaration) -> str:
        """Database and table of an index."""
        return f"{self.database_of(declaration)}.{declaration.spec.source.table}"

    def _is_over(self, declaration: Declaration, which: Which) -> bool:
        database = which.database
        if database is None and which.table is not None and which.index is None:
            database = self.deployment.settings.source.database
        return which.table in {None, declaration.spec.source.table} and database in {
            None,
            self.database_of(declaration),
        }

    def _shown(self, which: Which) -> str:
        named: Sequence[str | None] = (which.database, which.table)
        return ".".join(name for name in named if name is not None)
