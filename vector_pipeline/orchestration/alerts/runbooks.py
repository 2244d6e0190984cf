"""Which runbook helps: the anchors of docs/operations.md, by check and by kind of error."""

CHECKS = {
    "parity": "parity-fails",
    "vector_honesty": "parity-fails",
    "freshness": "lag-grows",
    "detectors": "lag-grows",
    "no_quarantine": "quarantine-fills",
    "budget": "budget-reached",
    "model_drift": "model-change",
    "generation": "model-change",
    "deletion_guard": "a-mass-deletion-is-held",
    "declaration": "a-declaration-is-wrong",
    "recall": "answers-get-worse",
    "golden_set": "answers-get-worse",
    "ann_health": "maintenance",
    "table_health": "maintenance",
}
ERRORS = {
    "ProviderError": "provider-down",
    "SourceUnavailableError": "mysql-down",
    "SourceRefusedError": "mysql-down",
    "TargetUnavailableError": "postgresql-down",
    "DiskFull": "disk-full",
    "MassDeletionHeldError": "a-mass-deletion-is-held",
    "IndexSpecError": "a-declaration-is-wrong",
    "ConfigurationError": "a-declaration-is-wrong",
}
FAILING_RUNS = "runs-fail"
FAILING_SENSOR = "lag-grows"
