"""Fixtures of the components' tests: databases, provider, and an environment that leads to them."""

from vector_pipeline_tests.orchestration.conftest import provider, workbench

__all__ = ["provider", "workbench"]
