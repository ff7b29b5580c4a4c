"""Looks for published advisories of the pinned dependencies: `make audit`.

pip-audit passes when it can't reach an advisory source, or reaches a mirror that has none; this says so and fails.
"""

import json
import subprocess
import sys
from pathlib import Path

NO_SOURCE = """\
Nothing was audited: {reason}
pip-audit asks pypi.org, or api.osv.dev with `make audit ARGS="-s osv"`. Run it where a network reaches one of them."""
COMMAND = ["pip-audit", "--requirement", "requirements.txt", "--no-deps", "--disable-pip", "--format", "json"]


def main() -> str | None:
    """What to say on failure."""
    program = Path(sys.executable).with_name(COMMAND[0])
    command = [str(program), *COMMAND[1:], "--progress-spinner", "off", *sys.argv[1:]]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(result.stdout)["dependencies"]
    except (ValueError, KeyError):
        return NO_SOURCE.format(reason=(result.stderr.strip().splitlines() or ["pip-audit said nothing."])[-1])
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        return NO_SOURCE.format(reason=packages[0]["skip_reason"] if packages else "requirements.txt is empty.")
    found = [
        f"{package['name']} {package['version']}: {', '.join([found['id'], *found['aliases']])}; "
        f"fixed in {', '.join(found['fix_versions']) or 'no version'}"
        for package in packages
        for found in package.get("vulns", ())
    ]
    sys.stdout.write(f"{len(packages) - len(skipped)} packages audited, {len(found)} advisories found.\n")
    if skipped:
        found.append(f"Not audited: {', '.join(skipped)}.")
    return "\n".join(found) or None


if __name__ == "__main__":
    sys.exit(main())
