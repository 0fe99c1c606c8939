"""Run the benchmarks, each in an interpreter of its own, and keep what they say in docs/performance.md.

`./dev bench` runs all of them; `./dev bench tokens imports` runs two and only shows their tables. Each module has a
`main()` that returns one section of the page, in Markdown.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "docs" / "performance.md"
EXPLAINED = FOLDER / "explained.md"
LIBRARIES = ("cryptography", "msgspec", "joserfc", "pybase64")


def names() -> list[str]:
    """The benchmarks: every module here that is not somebody's helper."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def machine() -> str:
    """Processor, interpreter and libraries: what the figures hold for."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{os.cpu_count()} cores of {model}; {platform.system()}; "
        f"{platform.python_implementation()} {platform.python_version()}; {libraries}"
    )


def run(name: str) -> str:
    """The section of one benchmark."""
    print(f"benchmarks: {name}", file=sys.stderr, flush=True)
    code = f"from benchmarks.{name} import main; print(main())"
    section = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    print(f"{section}\n", flush=True)
    return section


def page(sections: dict[str, str], load: float) -> str:
    head = f"""# Performance

What Sojourn adds to a request, beside what it is built on and beside other libraries. The rows of a table took turns in
one run, so whatever slowed the machine slowed every row.

- Compare figures of one table with each other, never with another run's: absolute ones drift with the machine's load.
- A budget is a ratio, and beside it stands whether this run met it. One that is not met is a debt, not a footnote.
- `./dev bench` runs everything and writes this page; `./dev bench tokens` runs one part and only shows it.

Machine: {machine()}. When the run began, {load:.1f} other processes were busy on it (load average).
"""
    parts = [f"{section}\n\nAgain: `./dev bench {name}`\n" for name, section in sections.items()]
    return "\n".join([head, *parts, EXPLAINED.read_text(encoding="utf-8")])


def main(arguments: list[str]) -> int:
    unknown = sorted(set(arguments) - set(names()))
    if unknown:
        print(f"benchmarks: no {', '.join(unknown)}; there are {', '.join(names())}", file=sys.stderr)
        return 2
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    sections = {name: run(name) for name in arguments or names()}
    if not arguments:
        PAGE.write_text(page(sections, load), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
