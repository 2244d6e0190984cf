"""`python -m vector_pipeline.with_secrets PROGRAM …`: runs a program with the secrets that stand in files.

For programs that know variables only, such as Dagster's: its storage takes its password from PG_PASSWORD. The images
start everything through it.
"""

from __future__ import annotations

import os
import sys

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.settings import read_secrets


def main(command: list[str]) -> None:
    """Becomes the program, which signals then reach directly; ends with status 2 where that can't be."""
    if not command:
        sys.exit("usage: python -m vector_pipeline.with_secrets PROGRAM [ARGUMENT …]")
    try:
        environment = {**os.environ, **read_secrets()}
        os.execvpe(command[0], command, environment)
    except ConfigurationError as error:
        problem = str(error)
    except OSError as error:
        problem = f"{command[0]} can't be started: {error.strerror}"
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
