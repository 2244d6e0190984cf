"""A code location with nothing but small jobs, for a webserver that starts quickly."""

import time

import dagster as dg


class Count(dg.Config):
    """How far to count."""

    to: int = 3


@dg.op
def count(context: dg.OpExecutionContext, config: Count) -> None:
    context.add_output_metadata({"counted": config.to, "cost": 0.25, "words": "one two three", "large": 2**40})


@dg.op
def stumble() -> None:
    raise ValueError("the floor is wet")


@dg.op
def linger() -> None:
    time.sleep(600)


@dg.job(tags={"vector/index": "numbers"}, executor_def=dg.in_process_executor)
def counting() -> None:
    count()


@dg.job(tags={"vector/index": "floors"}, executor_def=dg.in_process_executor)
def stumbling() -> None:
    stumble()


@dg.job(tags={"vector/index": "numbers"}, executor_def=dg.in_process_executor)
def lingering() -> None:
    linger()


defs = dg.Definitions(jobs=[counting, stumbling, lingering])
