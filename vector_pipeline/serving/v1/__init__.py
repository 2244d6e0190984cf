"""The API beyond the old contract, under /v1: searches with all that they can do, and the indexes themselves."""
