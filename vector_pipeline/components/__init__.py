"""What a deployment's YAML files can use."""

from vector_pipeline.components.vector_index import VectorIndexComponent

__all__ = ["VectorIndexComponent"]
