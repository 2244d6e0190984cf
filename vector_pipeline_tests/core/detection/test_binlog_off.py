"""A server that keeps no binary log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vector_pipeline.core.detection.binlog import Binlog
from vector_pipeline_tests.core.detection.watching import watching
from vector_pipeline_tests.mariadb_server import further_mariadb
from vector_pipeline_tests.workbench import Workbench, question_only


def test_a_server_without_a_log_is_told(tmp_path: Path, workbench: Workbench) -> None:
    with further_mariadb(tmp_path, "--skip-log-bin") as server:
        elsewhere = replace(workbench, source=server)
        elsewhere.mysql("CREATE DATABASE shop")
        elsewhere = replace(elsewhere, source=replace(server, database="shop"))
        elsewhere.create_faq(250)
        with watching(elsewhere, question_only(), Binlog(elsewhere.source)) as watch:
            assert "keeps no binary log" in watch.problems[0] and "left to the scrub" in watch.problems[0]
            assert watch.look() == set()
            assert watch.state == {}
