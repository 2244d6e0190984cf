"""Which runbook helps: pages and anchors of docs/, by check and by kind of error."""

_LAG, _DECLARATION = "operations.md#lag-grows", "operations.md#a-declaration-is-wrong"
_QUALITY = "operations.md#answers-get-worse"
_PARITY, _MODEL = "operations.md#parity-fails", "operations.md#model-change"
_DELETIONS = "operations.md#a-mass-deletion-is-held"

CHECKS = {
    "parity": _PARITY,
    "vector_honesty": _PARITY,
    "freshness": _LAG,
    "detectors": _LAG,
    "no_quarantine": "operations.md#quarantine-fills",
    "budget": "operations.md#budget-reached",
    "model_drift": _MODEL,
    "generation": _MODEL,
    "deletion_guard": _DELETIONS,
    "declaration": _DECLARATION,
    "recall": _QUALITY,
    "golden_set": _QUALITY,
    "table_health": "maintenance.md#the-look-at-an-index",
    "ann_health": "maintenance.md#the-look-at-an-index",
}
ERRORS = {
    "ProviderError": "operations.md#provider-down",
    "ProviderUnavailableError": "operations.md#provider-down",
    "ProviderRejectsUsError": "operations.md#provider-down",
    "SourceUnavailableError": "operations.md#mysql-down",
    "SourceRefusedError": "privileges.md",
    "TargetUnavailableError": "operations.md#postgresql-down",
    "TargetFullError": "operations.md#disk-full",
    "ModelDriftedError": _MODEL,
    "MassDeletionHeldError": _DELETIONS,
    "IndexSpecError": _DECLARATION,
    "ConfigurationError": _DECLARATION,
}
FAILING_RUNS = "operations.md#runs-fail"
FAILING_SENSOR = _LAG
