"""Give README.md's links the repository's address, as the package index needs them: ``python -m tools.index_readme ADDRESS``.

The index shows the README alone, so that a link to ``docs/photo.md`` leads nowhere there. The release workflow, which knows the
address, runs this before it builds; nothing of it is committed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
_LINK = re.compile(r"\]\((?!\w+:|#)([^)\s]+)\)")


def with_address(text: str, address: str) -> str:
    """The text with every link to a file of the repository led to ``address``; code is left alone."""
    blocks = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(
        block if block.startswith("```") else _LINK.sub(lambda found: f"]({address.rstrip('/')}/{found[1]})", block)
        for block in blocks
    )


def main() -> int:
    """Rewrite README.md."""
    if len(sys.argv) != 2 or not sys.argv[1].startswith("https://"):
        sys.exit("usage: python -m tools.index_readme https://HOST/OWNER/REPOSITORY/blob/TAG")
    README.write_text(with_address(README.read_text(encoding="utf-8"), sys.argv[1]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
