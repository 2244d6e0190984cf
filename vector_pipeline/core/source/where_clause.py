"""A condition over a table that comes from an agent: data, of which a condition of our own is made.

The text is parsed, every node of the tree must be one that is known to be harmless, and what MySQL is given is written
anew from that tree: nothing of the text itself reaches a statement. Columns are looked up in the catalogue and quoted;
operands are put into parentheses, so that nothing depends on who binds how strongly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from unicodedata import category

import pymysql
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from vector_pipeline.core.errors import WhereClauseError
from vector_pipeline.core.source.catalog import SourceTable
from vector_pipeline.core.source.connection import Connection, identifier, is_about_the_statement
from vector_pipeline.core.source.time_limit import StatementTookTooLong, limited_statements, naming_the_limit

LONGEST_CHARACTERS = 8192
_MOST_NODES = 1000
_SECONDS = 5.0

_MYSQL = Dialect.get_or_raise("mysql")

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.Is, exp.Like)
_CONNECTORS = (exp.And, exp.Or)
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.IntDiv, exp.BitwiseAnd)
_BINARY = ("this", "expression")
# Of each kind of node that may stand in a condition, the parts that it may have. What is not here is refused: queries,
# variables, placeholders, casts, intervals, all other functions.
_ALLOWED: dict[type[exp.Expr], tuple[str, ...]] = {
    **dict.fromkeys((*_COMPARISONS, *_CONNECTORS, *_ARITHMETIC), _BINARY),
    exp.Div: (*_BINARY, "typed", "safe"),
    exp.Like: (*_BINARY, "negate"),
    exp.Escape: _BINARY,
    exp.In: ("this", "expressions"),
    exp.Between: ("this", "low", "high"),
    exp.Not: ("this",),
    exp.Neg: ("this",),
    exp.Paren: ("this",),
    exp.Case: ("this", "ifs", "default"),
    exp.Boolean: ("this",),
    exp.Null: (),
    exp.Literal: ("this", "is_string"),
    exp.Column: ("this",),
    exp.Identifier: ("this", "quoted"),
}
# Functions whose value depends on nothing but what they are given. None that tells the time: rows would leave the index
# without any change of theirs.
_FUNCTIONS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Abs: ("this",),
    exp.Ceil: ("this",),
    exp.Coalesce: ("this", "expressions"),
    exp.Concat: ("expressions", "safe", "coalesce"),
    exp.Day: ("this",),
    exp.DayOfWeek: ("this",),
    exp.Floor: ("this",),
    exp.Greatest: ("this", "expressions", "ignore_nulls"),
    exp.Hour: ("this",),
    exp.If: ("this", "true", "false"),
    exp.Least: ("this", "expressions", "ignore_nulls"),
    exp.Left: _BINARY,
    exp.Length: ("this", "binary"),
    exp.Lower: ("this",),
    exp.Month: ("this",),
    exp.Nullif: _BINARY,
    exp.Quarter: ("this",),
    exp.Right: _BINARY,
    exp.Round: ("this", "decimals"),
    exp.Sign: ("this",),
    exp.StrPosition: ("this", "substr", "position"),
    exp.Substring: ("this", "start", "length"),
    exp.Trim: ("this", "expression", "position"),
    exp.TsOrDsToDate: ("this",),
    exp.Upper: ("this",),
    exp.Year: ("this",),
}
_ALLOWED |= _FUNCTIONS
FUNCTIONS = (
    "ABS, CEIL, CHAR_LENGTH, COALESCE, CONCAT, DATE, DAY, DAYOFWEEK, FLOOR, GREATEST, HOUR, IF, IFNULL, LEAST, LEFT, "
    "LENGTH, LOCATE, LOWER, LTRIM, MOD, MONTH, NULLIF, QUARTER, RIGHT, ROUND, RTRIM, SIGN, SUBSTRING, TRIM, UPPER, YEAR"
)
"""For people: the functions that may be called."""

_NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_PREDICATES = (*_COMPARISONS, exp.In, exp.Between)
# Written side by side without parentheses they would mean another thing to another reader.
_OPERATIONS = (*_PREDICATES, exp.Escape, *_CONNECTORS, *_ARITHMETIC, exp.Not, exp.Neg)


def read_where_clause(text: str, table: SourceTable) -> str:
    """The condition that the text means, as SQL of our own.

    Raises:
        WhereClauseError: it is not one boolean expression over the table's own columns, or calls what it must not.
    """
    tree = _checked(_parsed(text), table)
    clause = tree.sql("mysql", identify=True, comments=False, normalize_functions="upper")
    # Whatever the writer of SQL does wrong must not pass.
    if _parsed(clause) != tree:
        raise WhereClauseError("the condition can't be written without a change of its meaning; write it more simply")
    return clause


def try_where_clause(connection: Connection, table: SourceTable, clause: str, seconds: float = _SECONDS) -> None:
    """Has MySQL say whether it takes the condition, in a read-only transaction with a time limit.

    Args:
        clause: what `read_where_clause` gave.

    Raises:
        WhereClauseError: MySQL refuses it; with its words.
    """
    condition = clause.replace("%", "%%")
    try:
        with limited_statements(connection, seconds), naming_the_limit(), connection.cursor() as cursor:
            cursor.execute("START TRANSACTION READ ONLY")
            try:
                cursor.execute(
                    f"EXPLAIN SELECT 1 FROM {identifier(table.database, table.name)} WHERE (\n{condition}\n)", ()
                )
            finally:
                connection.rollback()
    except StatementTookTooLong:
        raise WhereClauseError(f"MySQL takes longer than {seconds:g} s over the condition; write it simpler") from None
    except pymysql.MySQLError as error:
        if not is_about_the_statement(error):
            raise
        raise WhereClauseError(
            f"MySQL refuses the condition over {table.database}.{table.name}: {error.args[-1]} (error {error.args[0]})"
        ) from None


def _parsed(text: str) -> exp.Expr:
    if len(text) > LONGEST_CHARACTERS:
        raise WhereClauseError(f"the condition has {len(text):,} characters; {LONGEST_CHARACTERS:,} are allowed")
    if any(category(character) in {"Cc", "Cs"} and character not in "\t\r\n" for character in text):
        raise WhereClauseError("there is a control character in the condition; leave it out")
    try:
        _refuse_tokens(text)
        [tree] = _MYSQL.parse_into(exp.Condition, text)
    except (SqlglotError, ValueError, RecursionError):
        raise WhereClauseError(
            "it is not one condition in MySQL's words, as it stands after WHERE, such as: status = 'published'"
        ) from None
    if tree is None:
        raise WhereClauseError("the condition is empty; leave it out to take every row")
    return tree


def _refuse_tokens(text: str) -> None:
    """What a tree no longer shows, or shows as something else than what MySQL would have read."""
    tokens = _MYSQL.tokenize(text)
    if not tokens:
        raise WhereClauseError("the condition is empty; leave it out to take every row")
    for token in tokens:
        if token.comments:
            raise WhereClauseError("there is a comment in the condition; leave it out")
        if token.token_type is TokenType.SEMICOLON:
            raise WhereClauseError("there is a ; in the condition; give one condition")
        if token.token_type is TokenType.NOT and token.text == "!":
            raise WhereClauseError("write NOT (…) instead of !")


def _checked(tree: exp.Expr, table: SourceTable) -> exp.Expr:
    """The tree with columns as the catalogue has them and operands in parentheses."""
    nodes = 0
    try:
        for node in tree.walk():
            nodes += 1
            if nodes > _MOST_NODES:
                raise WhereClauseError(f"the condition has more than {_MOST_NODES:,} parts; write it more simply")
            _refuse_unknown(node, table)
        _refuse_unless_boolean(tree)
        return _in_parentheses(tree.transform(_as_in_the_catalogue, table))
    except RecursionError:
        raise WhereClauseError("the condition is nested too deeply; write it more simply") from None


def _refuse_unknown(node: exp.Expr, table: SourceTable) -> None:
    allowed = _ALLOWED.get(type(node))
    if allowed is None:
        raise WhereClauseError(_refusal(node))
    if isinstance(node, exp.Column):
        _column_name(node, table)
        return
    if isinstance(node, exp.Literal):
        _refuse_literal(node)
    for name, value in node.args.items():
        if value in (None, False, []):
            continue
        is_plain = not isinstance(value, str) or isinstance(node, exp.Literal | exp.Identifier | exp.Trim)
        if isinstance(value, exp.Query | exp.Subquery):
            raise WhereClauseError(_refusal(value))
        if name not in allowed or not is_plain:
            raise WhereClauseError(_refusal(node))
    if isinstance(node, exp.Trim) and node.args.get("position") not in (None, "LEADING", "TRAILING", "BOTH"):
        raise WhereClauseError(_refusal(node))
    _refuse_ambiguity(node)


def _refusal(node: exp.Expr) -> str:
    if isinstance(node, exp.Query | exp.Subquery | exp.Exists):
        return "there is a query in the condition; only the table's own columns may be asked"
    if isinstance(node, exp.Anonymous):
        name = str(node.this).upper()
    elif isinstance(node, exp.Func):
        name = node.sql_name()
    elif isinstance(node, exp.Parameter | exp.SessionParameter | exp.Placeholder):
        return "there is a variable or a placeholder in the condition; write the value itself"
    else:
        return f"{type(node).__name__} is not allowed in the condition"
    return f"{name} is not allowed in the condition; these functions are: {FUNCTIONS}"


def _refuse_literal(node: exp.Literal) -> None:
    if node.is_string and "\\" in node.this:
        raise WhereClauseError(r"there is a \ in a text of the condition; write LIKE '…!%' ESCAPE '!' to mean % itself")
    if not node.is_string and _NUMBER.fullmatch(node.this) is None:
        raise WhereClauseError(f"{node.this!r} is no number; put texts in quotes")


def _refuse_ambiguity(node: exp.Expr) -> None:
    """MySQL reads `a = b < c` from the left, others don't."""
    if not isinstance(node, _PREDICATES):
        return
    for operand in _operands(node):
        if isinstance(operand, (*_PREDICATES, exp.Escape)):
            raise WhereClauseError("a comparison is compared in the condition; put the inner one in parentheses")


def _operands(node: exp.Expr) -> Iterator[exp.Expr]:
    for value in node.args.values():
        for operand in value if isinstance(value, list) else [value]:
            if isinstance(operand, exp.Expr):
                yield operand


def _refuse_unless_boolean(node: exp.Expr) -> None:
    """A condition compares, or is a column that says yes or no; a number or a text alone is likely a mistake."""
    if isinstance(node, _CONNECTORS):
        _refuse_unless_boolean(node.left)
        _refuse_unless_boolean(node.right)
    elif isinstance(node, exp.Not | exp.Paren):
        _refuse_unless_boolean(node.this)
    elif not isinstance(node, (*_PREDICATES, exp.Escape, exp.Boolean, exp.Column)):
        raise WhereClauseError(
            "the condition is no comparison; compare the table's columns, such as: status = 'published'"
        )


def _column_name(node: exp.Column, table: SourceTable) -> str:
    qualifier = node.args.get("table")
    named = qualifier.name if isinstance(qualifier, exp.Identifier) else None
    if node.args.get("db") or node.args.get("catalog") or (qualifier and named != table.name):
        raise WhereClauseError(f"the condition names another table; only columns of {table.name} may be asked")
    column = table.column(node.name) if isinstance(node.this, exp.Identifier) else None
    if column is None:
        there = ", ".join(column.name for column in table.columns.values())
        raise WhereClauseError(
            f"{table.database}.{table.name} has no column {node.name!r}, which the condition names; name one of its "
            f"columns: {there}; texts go in quotes"
        )
    return column.name


def _as_in_the_catalogue(node: exp.Expr, table: SourceTable) -> exp.Expr:
    if isinstance(node, exp.Column):
        return exp.Column(this=exp.Identifier(this=_column_name(node, table), quoted=True))
    return node


def _in_parentheses(tree: exp.Expr) -> exp.Expr:
    """The same meaning, whoever binds how strongly."""

    def wrap(value: Any) -> Any:
        if isinstance(value, list):
            return [wrap(one) for one in value]
        if not isinstance(value, exp.Expr):
            return value
        inner = _in_parentheses(value)
        return exp.Paren(this=inner) if isinstance(inner, (*_OPERATIONS, exp.Case)) else inner

    if isinstance(tree, exp.Paren):
        inner = _in_parentheses(tree.this)
        return inner if isinstance(inner, exp.Paren) else exp.Paren(this=inner)
    # LIKE and its ESCAPE are one operation.
    if isinstance(tree, exp.Escape):
        return exp.Escape(this=_in_parentheses(tree.this), expression=tree.expression)
    if isinstance(tree, exp.Case):
        ifs = [exp.If(this=wrap(one.this), true=wrap(one.args["true"])) for one in tree.args["ifs"]]
        return exp.Case(this=wrap(tree.this), ifs=ifs, default=wrap(tree.args.get("default")))
    return type(tree)(**{name: wrap(value) for name, value in tree.args.items()})
