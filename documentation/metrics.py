"""The reference of the metrics, from what Prometheus is told of them."""

from __future__ import annotations

from prometheus_client.metrics import MetricWrapperBase

from documentation.markdown import code, table
from vector_pipeline.serving.observing import metrics
from vector_pipeline.serving.observing.indexes import described_families


def describe() -> str:
    """One table of all of them, by name."""
    counted = {
        found._name: (str(found._type), found._labelnames, found._documentation)
        for found in vars(metrics).values()
        if isinstance(found, MetricWrapperBase)
    }
    looked_at = {
        family.name: (family.type, family._labelnames, family.documentation) for family in described_families()
    }
    return table(
        ("metric", "type", "labels", "meaning"),
        [
            (code(f"{name}_total" if kind == "counter" else name), kind, ", ".join(labels), told)
            for name, (kind, labels, told) in sorted({**counted, **looked_at}.items())
        ],
    )
