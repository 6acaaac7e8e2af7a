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
from langchain_pmock.check._questions import VERDICTS, run
from langchain_pmock.check._service import Service

if TYPE_CHECKING:
    from langchain_pmock.check._questions import Finding

_URL = "https://ai.pmock.com/api"
_BASE_URL = re.compile(r"https?://([^/?#@:\s\[\]]+|\[[\da-f:]+\])(:\d+)?(/[^?#\s]*)?")
_REPORT = Path("pmock-check.json")
_NOT_STARTED, _INTERRUPTED = 2, 130  # exit statuses


def main(arguments: list[str] | None = None) -> int:
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
    options = parser.parse_args(arguments)
    names = ("PMOCK_ACCESS_KEY", "PMOCK_SECRET_KEY", "PMOCK_BASE_URL")
    access_key, secret_key, url = (os.environ.get(n, "").strip() for n in names)
    if not (access_key and access_key.isprintable() and secret_key):
        parser.error("set PMOCK_ACCESS_KEY and PMOCK_SECRET_KEY to the two keys")
    url = url.rstrip("/") or _URL
    if not _BASE_URL.fullmatch(url):
        parser.error("PMOCK_BASE_URL should be a URL such as https://host/api")
    if not options.yes:
        # Measured with PmockServer, and rounded up.
        sends = (
            "This sends about 15 short requests (up to 20 if some are refused), with "
            "about 1,000 tokens of prompts and 500 of answers, more with a model that "
            f"reasons, to {options.model} at {url}. It costs credit."
        )
        sys.stderr.write(f"{textwrap.fill(sends, 79)}\nContinue? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return _NOT_STARTED
    service = Service(url, access_key, secret_key, options.model)
    try:
        findings = asyncio.run(run(service, _show))
    except KeyboardInterrupt:
        return _INTERRUPTED
    _summarize(service, findings)
    try:
        _REPORT.write_text(_report(service, findings), "utf-8", "backslashreplace")
    except OSError as error:
        sys.stderr.write(f"{_REPORT} could not be written: {error.strerror}\n")
    return int(any(finding.verdict.endswith("!") for finding in findings))


def _show(finding: Finding) -> None:
    rows = textwrap.wrap(f"{finding.about}: {finding.expected}", 67)
    text = "\n".join([*rows, *textwrap.wrap(finding.found, 67)])
    _print(f"{finding.verdict:12}{textwrap.indent(text, ' ' * 12).lstrip()}")


def _summarize(service: Service, findings: list[Finding]) -> None:
    counts = Counter(finding.verdict for finding in findings)
    _print("\n" + ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS))
    if not service.is_accepted:
        _print("Nothing else was checked. Verify the keys, PMOCK_BASE_URL and --model.")
    for finding in findings:
        if finding.wire:
            _print(f"Use ChatPmock(..., wire={finding.wire})")
    _print(f"{_REPORT}: this without keys, tokens and texts, for a bug report")


def _report(service: Service, findings: list[Finding]) -> str:
    versions = {"langchain-pmock": __version__, "httpx2": httpx2.__version__}
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {**versions, "python": platform.python_version()},
        "url": service.url,
        "model": service.model,
        "findings": [asdict(finding) for finding in findings],
        "exchanges": service.exchanges,
    }
    return service.redact(json.dumps(report, indent=1, ensure_ascii=False)) + "\n"


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
