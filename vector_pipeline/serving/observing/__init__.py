"""What is seen of the service while it works: request ids, logs, metrics, traces. None has texts or secrets."""
