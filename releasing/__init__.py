"""What `make release` asks about the packages that vector-pipeline needs."""
