"""`python -m vector_pipeline.cli`: the command line of this very Python."""

from vector_pipeline.cli import main

main(prog_name="vector-pipeline")
