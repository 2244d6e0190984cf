"""What a statement in the binary log means for one table. In the log of rows only these are left as statements: what
begins and ends transactions, and what changes tables as a whole."""

from __future__ import annotations

import re
from enum import Enum, auto

# Comments before the statement; of those that the server executes (/*!40000 … */) only the sign goes.
_LEADING = re.compile(r"(?:\s+|/\*(?!M?!).*?\*/|--\s[^\n]*\n?|\#[^\n]*\n?|/\*M?!\d*|\()+", re.DOTALL)
_BOUNDARIES = frozenset({"BEGIN", "START", "SAVEPOINT", "RELEASE", "SET", "USE", "FLUSH", "ANALYZE", "OPTIMIZE"})
_CHANGES_OF_ROWS = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH", "CALL"})


class Statement(Enum):
    """The kinds of statements that make a difference."""

    WITHOUT_EFFECT = auto()
    END_OF_TRANSACTION = auto()
    XA_END = auto()
    XA_COMMIT = auto()
    XA_ROLLBACK = auto()
    ROWS_UNNAMED = auto()
    """A change of rows that was logged by its statement."""
    WHOLE_TABLE = auto()
    """A change of the table itself: emptied, altered, renamed, made anew."""
    OTHER_TABLE = auto()


def classify(statement: str, table: str) -> Statement:
    """The kind of a statement, for one table.

    Whatever names the table and is none of the known kinds counts as a change of the table: to compare too much costs
    some digests.
    """
    text = _LEADING.sub("", statement, count=1) if _LEADING.match(statement) else statement
    words = re.findall(r"\w+", text[:100].upper())[:2]
    first = words[0] if words else ""
    kind = Statement.OTHER_TABLE
    if first == "XA":
        second = words[1] if len(words) > 1 else ""
        kind = {
            "END": Statement.XA_END,
            "COMMIT": Statement.XA_COMMIT,
            "ROLLBACK": Statement.XA_ROLLBACK,
        }.get(second, Statement.WITHOUT_EFFECT)
    elif first == "COMMIT" or (first == "ROLLBACK" and "TO" not in words):
        kind = Statement.END_OF_TRANSACTION
    elif first in _BOUNDARIES or first == "ROLLBACK":
        kind = Statement.WITHOUT_EFFECT
    elif _names(text, table):
        kind = Statement.ROWS_UNNAMED if first in _CHANGES_OF_ROWS else Statement.WHOLE_TABLE
    return kind


def xa_name(statement: str) -> str:
    """By which XA END, XA COMMIT and XA ROLLBACK name one transaction."""
    return " ".join(statement.split()[2:])


def _names(text: str, table: str) -> bool:
    """Whether the table's name occurs as a word. A name beyond ASCII can be written in any character set."""
    name = re.escape(table.replace("`", "``"))
    return not table.isascii() or re.search(rf"(?<![\w$]){name}(?![\w$])", text, re.IGNORECASE) is not None
