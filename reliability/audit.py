"""Known vulnerabilities of what constraints.txt pins: ``python -m reliability.audit``, by pip-audit.

pip-audit asks a database over the network. Where it isn't installed or the database can't be reached, this says so and
exits 2: nothing was audited. 1: something was found. 0: nothing was.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "constraints.txt"
Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True)


def audit(lock: Path = LOCK, run: Run = run) -> tuple[int, str]:
    """Audit a lock; return an exit code and what to say."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(lock), "--no-deps", "--disable-pip", "--format", "json"]
    done = run([*command, "--progress-spinner", "off"])
    try:
        packages = json.loads(done.stdout)["dependencies"]
        found = {(one["name"], one["version"], bad["id"]) for one in packages for bad in one.get("vulns", ())}
        left = [f"{one['name']} ({one['skip_reason']})" for one in packages if "skip_reason" in one]
    except (ValueError, KeyError, TypeError):
        lines = done.stderr.strip().splitlines()
        why = lines[-1] if lines else f"it ended with {done.returncode}"
        return (
            2,
            f"nothing was audited: pip-audit could not run ({why}); pip install pip-audit, and a network, are needed",
        )
    if not packages or left:
        return 2, (
            f"not all was audited: of {len(left)} of {len(packages)} packages the database said nothing: "
            f"{'; '.join(left[:3])}"
        )
    if found or done.returncode:
        return 1, "\n".join(f"{name} {version}: {bad}" for name, version, bad in sorted(found)) or "pip-audit failed"
    return 0, f"{len(packages)} packages, no known vulnerability"


if __name__ == "__main__":
    code, text = audit()
    print(text, file=sys.stderr if code else sys.stdout)
    sys.exit(code)
