"""What `import sojourn` costs, and that it brings no driver, JOSE library, HTTP client or framework with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Final

ROUNDS: Final = 15
BUDGET_MS: Final = 80
# What every check needs anyway: a ratio to it travels between machines.
BASE: Final = "cryptography.hazmat.primitives.ciphers.aead, msgspec, anyio"
UNWANTED: Final = (
    "sqlalchemy",
    "asyncpg",
    "redis",
    "joserfc",
    "httpx2",
    "jinja2",
    "starlette",
    "fastapi",
    "cyclopts",
    "rich",
)
MODULES: Final = (
    BASE,
    "sojourn",
    "sojourn.providers",
    "sojourn.adapters.asgi",
    "sojourn.adapters.starlette",
    "sojourn.adapters.fastapi",
)
_PROBE: Final = """
import json, sys, time
before = time.process_time()
import {module}
spent = time.process_time() - before
print(json.dumps([spent * 1000, [name for name in {unwanted} if name in sys.modules]]))
"""


def probe(module: str, bytecode: str) -> tuple[float, list[str]]:
    """CPU milliseconds of importing `module` in a new interpreter, and which of `UNWANTED` came with it.

    `bytecode` is the folder that keeps what was compiled, as an installed package has it.
    """
    code = _PROBE.format(module=module, unwanted=UNWANTED)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = bytecode
    milliseconds, found = json.loads(subprocess.check_output([sys.executable, "-c", code], env=environment, text=True))
    return float(milliseconds), list(found)


def main() -> str:
    """Measure and return the section of docs/performance.md."""
    lines = ["| import | CPU ms | x the first | brings | budget |", "|---|--:|--:|---|---|"]
    with TemporaryDirectory() as bytecode:
        for module in MODULES:
            probe(module, bytecode)  # compiles
        rounds = [{module: probe(module, bytecode) for module in MODULES} for _ in range(ROUNDS)]
    least = {module: min(each[module][0] for each in rounds) for module in MODULES}
    for module, spent in least.items():
        met = "met" if spent <= BUDGET_MS else "**not met**"
        budget = f"≤ {BUDGET_MS} ms: {met}" if module == "sojourn" else ""
        brings = ", ".join(rounds[0][module][1]) or "none of the extras"
        lines.append(f"| `{module}` | {spent:.0f} | {spent / least[BASE]:.2f} | {brings} | {budget} |")
    head = (
        f"A new interpreter each, bytecode kept; the least of {ROUNDS} interleaved rounds, since others only "
        "add to it. The first row is what every check needs."
    )
    return f"## Imports\n\n{head}\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(main())
