"""The command: confirmation, rows and report."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import sys
import textwrap
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from langchain_pmock._version import __version__
from langchain_pmock._wire import Wire
from langchain_pmock.check._questions import VERDICTS, run
from langchain_pmock.check._service import Service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_pmock.check._questions import Finding

_URL = "https://ai.pmock.com/api"
_BASE_URL = re.compile(r"https?://([^/?#@:\s\[\]]+|\[[\da-f:]+\])(:\d+)?(/[^?#\s]*)?")
_REPORT = Path("pmock-check.json")
_NOT_STARTED, _INTERRUPTED = 2, 130  # exit statuses
# Measured with PmockServer, and rounded up.
_ESTIMATE = (
    "about 25 short requests (up to 40 if some are refused), about 1,500 tokens of "
    "prompts and 1,000 of answers, more with a model that reasons: at most 500 each"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the service with the command line's arguments; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m langchain_pmock.check",
        description=(
            "Check langchain-pmock's assumptions about the service at PMOCK_BASE_URL "
            f"(default: {_URL}), with the keys in PMOCK_ACCESS_KEY and "
            f"PMOCK_SECRET_KEY. Writes {_REPORT}, without keys, tokens and texts."
        ),
    )
    parser.add_argument("--model", default="gpt-5.1", help="default: %(default)s")
    parser.add_argument("--yes", action="store_true", help="start without confirmation")
    parser.add_argument("--json", action="store_true", help="print the report alone")
    options = parser.parse_args(arguments)
    access_key = os.environ.get("PMOCK_ACCESS_KEY", "").strip()
    secret_key = os.environ.get("PMOCK_SECRET_KEY", "").strip()
    if not (access_key and access_key.isprintable() and secret_key):
        parser.error("set PMOCK_ACCESS_KEY and PMOCK_SECRET_KEY to the two keys")
    url = os.environ.get("PMOCK_BASE_URL", "").strip().rstrip("/") or _URL
    if not _BASE_URL.fullmatch(url):
        parser.error("PMOCK_BASE_URL should be a URL such as https://host/api")
    if not options.yes:
        sends = f"This sends {_ESTIMATE}, to {options.model} at {url}. It costs credit."
        sys.stderr.write(f"{textwrap.fill(sends, 79)}\nContinue? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            sys.stderr.write("The check was not started.\n")
            return _NOT_STARTED
    service = Service(url, access_key, secret_key, options.model)
    try:
        findings = asyncio.run(
            run(service, (lambda _: None) if options.json else _show)
        )
    except KeyboardInterrupt:
        return _INTERRUPTED
    report = service.redact(
        json.dumps(_report(service, findings), indent=1, ensure_ascii=False)
    )
    _print(report if options.json else _summary(service, findings))
    try:
        _REPORT.write_text(f"{report}\n", "utf-8", "backslashreplace")
    except OSError as error:
        sys.stderr.write(f"{_REPORT} could not be written: {error.strerror}\n")
    return int(any(finding.verdict.endswith("!") for finding in findings))


def _wire(findings: list[Finding]) -> Wire:
    return next((finding.wire for finding in findings if finding.wire), Wire())


def _report(service: Service, findings: list[Finding]) -> dict[str, object]:
    versions = {"langchain-pmock": __version__, "httpx2": httpx2.__version__}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {**versions, "python": platform.python_version()},
        "url": service.url,
        "model": service.model,
        "wire": asdict(_wire(findings)),
        "usage": service.usage,
        "findings": [asdict(finding) for finding in findings],
        "exchanges": service.exchanges,
    }


def _summary(service: Service, findings: list[Finding]) -> str:
    counts = Counter(finding.verdict for finding in findings)
    tokens = ", ".join(f"{count:,} {name}" for name, count in service.usage.items())
    lines = [
        "",
        ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS),
        f"{len(service.exchanges)} answers; the service counted {tokens}",
    ]
    if not service.is_accepted:
        lines.append("The first request failed, so nothing else was checked.")
        lines.append("Verify the keys, PMOCK_BASE_URL and --model.")
    names, default = asdict(_wire(findings)), asdict(Wire())
    if changed := [f'{k}="{v}"' for k, v in names.items() if v != default[k]]:
        lines.append(f"Use ChatPmock(..., wire=Wire({', '.join(changed)}))")
    lines.append(f"{_REPORT}: this without keys, tokens and texts, for a bug report")
    return "\n".join(lines)


def _show(finding: Finding) -> None:
    about = f"{finding.verdict:12}{finding.about}: {finding.expected}"
    for text, first in ((about, ""), (finding.found, " " * 12)):
        _print(
            textwrap.fill(text, 79, initial_indent=first, subsequent_indent=" " * 12)
        )


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
