"""How large a table is, about or exactly."""

from __future__ import annotations

import math

import pymysql

from vector_pipeline.core.source.connection import Connection, is_about_the_statement
from vector_pipeline.core.source.key_ranges import KeyRange, key_condition
from vector_pipeline.core.source.plan import ReadingPlan


def estimate_rows(connection: Connection, plan: ReadingPlan) -> int:
    """Rows as the server's optimizer estimates them, off by half at times. Reads no row.

    0 where it doesn't tell: to explain a view takes rights on its tables, which its readers need not have, and of
    a query over MySQL's own catalog it knows nothing.
    """
    if plan.is_derived:
        return 0
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                f"EXPLAIN FORMAT = TRADITIONAL SELECT {plan.key.expression} FROM {plan.relation}",
                (),
            )
            names = [column[0].lower() for column in cursor.description]
            steps = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except pymysql.MySQLError as error:
        if not is_about_the_statement(error):
            raise
        return 0
    # Of a join, each step tells how many rows it finds for one of the step before.
    found = [step["rows"] for step in steps if step.get("select_type") in {"SIMPLE", "PRIMARY"}]
    return math.prod(int(rows or 0) for rows in found) if found else 0


def count_rows(connection: Connection, plan: ReadingPlan) -> int:
    """Rows that the declaration takes in, exactly: the server reads an index from end to end."""
    condition, parameters = key_condition(plan, KeyRange(0, "", None, None))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {plan.relation} WHERE {condition}", parameters)
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])
