"""What pip-licenses has found, as a page for people: each package with its licence, those under copyleft first.

Reads its JSON from standard input; called by scripts/release.
"""

from __future__ import annotations

import json
import re
import sys

_COPYLEFT = re.compile(r"GPL|Affero|MPL|Mozilla|EUPL|EPL|CDDL|OSL", re.IGNORECASE)
_LONGEST_NAME = 80

HEAD = """\
# Licences of what vector-pipeline needs

vector-pipeline itself is under the Apache License 2.0. It contains no code of these packages: pip installs them from
where their makers publish them, and each carries the text of its licence. Who passes them on, as in an image, passes on
these texts with them (`*.dist-info`).
"""
COPYLEFT = """
## Under copyleft

They are used as they are, by import, and can be exchanged for another version by whoever runs vector-pipeline: that is
what the LGPL asks of a program that uses a library, and the MPL asks only for changes of its own files. Neither reaches
the code of vector-pipeline or that of its users. There is no package under the GPL or AGPL here, unless it is listed
so.
"""
UNKNOWN = """
## Without a licence in their metadata

Ask their makers before you pass them on.
"""
OTHERS = "\n## All others\n"


def main() -> None:
    found = [(one["Name"], one["Version"], _named(one["License"]), one["URL"]) for one in json.load(sys.stdin)]
    unknown = [one for one in found if one[2] == "UNKNOWN"]
    copyleft = [one for one in found if _COPYLEFT.search(one[2]) and one not in unknown]
    others = [one for one in found if one not in unknown and one not in copyleft]
    print(HEAD, end="")
    for heading, packages in ((COPYLEFT, copyleft), (UNKNOWN, unknown), (OTHERS, others)):
        if packages:
            print(heading)
            print("| package | version | licence | where |\n|---|---|---|---|")
            for name, version, licence, url in packages:
                print(f"| {name} | {version} | {licence} | {'' if url == 'UNKNOWN' else url} |")


def _named(licence: str) -> str:
    """Some put the whole text where its name belongs: the name is its first line."""
    first = licence.strip().splitlines()[0] if licence.strip() else "UNKNOWN"
    return first[:_LONGEST_NAME].replace("|", "/")


if __name__ == "__main__":
    main()
