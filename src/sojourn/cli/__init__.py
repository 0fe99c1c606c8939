"""The `sojourn` command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process."""
    try:
        from sojourn.cli.app import run

        sys.exit(run(sys.argv[1:]))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("sojourn"):
            raise
        sys.stderr.write(f"sojourn: {error.name}: not installed. Install sojourn[server].\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output went away; the interpreter would complain once more
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
