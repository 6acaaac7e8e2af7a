"""The command: confirmation, table and report."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import re
import shutil
import sys
import textwrap
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from langchain_pmock._version import __version__
from langchain_pmock._wire import Wire
from langchain_pmock.check._checks import DIFFERS, FAILED, VERDICTS, run
from langchain_pmock.check._service import Service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_pmock.check._checks import Check, Finding
    from langchain_pmock.check._service import Json

_URL = "https://ai.pmock.com/api"
_REPORT = Path("pmock-check.json")
# Measured with PmockServer, and rounded up.
_ESTIMATE = (
    "about 25 short requests (up to 40 if some are refused), about 1,500 tokens of "
    "prompts and 1,000 of answers, more with a model that reasons"
)
_NOT_ASKED, _INTERRUPTED = 2, 130  # exit statuses

# Characters that take two columns: Chinese, Japanese, Korean, full width.
_WIDE = re.compile(
    "([\u1100-\u115f\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60])"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the service, and print the findings.

    Args:
        arguments: The command line's arguments; by default those of the process.

    Returns:
        The exit status: 1 if an assumption that the package relies on does not hold, 2
        if the check was not started, 130 if it was interrupted, else 0.
    """
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
    parser.add_argument(
        "--json", action="store_true", help="print the report instead of a table"
    )
    options = parser.parse_args(arguments)
    access_key = os.environ.get("PMOCK_ACCESS_KEY", "").strip()
    secret_key = os.environ.get("PMOCK_SECRET_KEY", "").strip()
    if not (access_key and access_key.isprintable() and secret_key):
        parser.error("set PMOCK_ACCESS_KEY and PMOCK_SECRET_KEY to the two keys")
    url = _base_url(os.environ.get("PMOCK_BASE_URL", ""))
    if not url:
        parser.error("PMOCK_BASE_URL should be a URL such as https://host/api")
    if not options.yes and not _agrees(url, options.model):
        sys.stderr.write("The check was not started.\n")
        return _NOT_ASKED
    service = Service(url, access_key, secret_key, options.model)
    try:
        return _check(service, url, as_json=options.json)
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        service.close()


def _base_url(value: str) -> str:
    """Normalize the base URL; empty if it is not valid."""
    value = value.strip().rstrip("/") or _URL
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:
        return ""
    is_web = url.scheme in ("http", "https") and url.host
    return "" if not is_web or url.userinfo or url.query or url.fragment else value


def _agrees(url: str, model: str) -> bool:
    """Ask the user for confirmation; without input, the answer is no."""
    sys.stderr.write(
        textwrap.fill(
            f"This sends {_ESTIMATE}, to {model} at {url}. It costs credit.", 79
        )
        + "\nContinue? [y/N] "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _check(service: Service, url: str, *, as_json: bool) -> int:
    table = _Table(is_shown=not as_json)
    results: list[tuple[Check, Finding]] = []
    for check, finding in run(service):
        results.append((check, finding))
        mark = "!" if _matters(check, finding) else ""
        found = service.hide(finding.found)
        table.row(finding.verdict + mark, check.about, check.expected, found)
    wire = next((finding.wire for _, finding in results if finding.wire), Wire())
    report = _report(service, url, results, wire)
    text = service.hide(json.dumps(report, indent=1, ensure_ascii=False))
    _print(text if as_json else _summary(service, results, wire))
    try:
        _REPORT.write_text(f"{text}\n", "utf-8", "backslashreplace")
    except OSError as error:
        sys.stderr.write(f"{_REPORT} could not be written: {error.strerror}\n")
    return int(any(_matters(*result) for result in results))


def _matters(check: Check, finding: Finding) -> bool:
    """Whether an assumption that the package relies on does not hold."""
    is_bad = finding.verdict in (DIFFERS, FAILED)
    return is_bad and check.relied and not finding.copes


def _report(
    service: Service, url: str, results: list[tuple[Check, Finding]], wire: Wire
) -> Json:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "langchain-pmock": __version__,
            "httpx": httpx.__version__,
            "python": platform.python_version(),
        },
        "url": url,
        "model": service.model,
        "wire": dataclasses.asdict(wire),
        "usage": service.usage,
        "findings": [
            {
                "about": check.about,
                "expected": check.expected,
                "found": finding.found,
                "verdict": finding.verdict,
                "matters": _matters(check, finding),
            }
            for check, finding in results
        ],
        "exchanges": service.exchanges,
    }


def _summary(service: Service, results: list[tuple[Check, Finding]], wire: Wire) -> str:
    counts = Counter(finding.verdict for _, finding in results)
    tokens = ", ".join(f"{count:,} {name}" for name, count in service.usage.items())
    lines = [
        "",
        ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS),
        f"{len(service.exchanges)} answers; the service counted {tokens}",
    ]
    if len(results) == 1:
        lines.append("The first request failed, so nothing else was checked.")
        lines.append("Verify the keys, PMOCK_BASE_URL and --model.")
    if bad := [check.about for check, finding in results if _matters(check, finding)]:
        lines.append(f"! The package relies on: {', '.join(bad)}")
    if wire != Wire():
        lines.append(f"Use ChatPmock(..., wire={_source(wire)})")
    lines.append(f"{_REPORT}: this without keys, tokens and texts, for a bug report")
    return "\n".join(lines)


def _source(wire: Wire) -> str:
    """Format a `Wire` as Python code, without defaults."""
    default = dataclasses.asdict(Wire())
    fields = dataclasses.asdict(wire).items()
    changed = [f'{name}="{value}"' for name, value in fields if value != default[name]]
    return f"Wire({', '.join(changed)})"


class _Table:
    """Prints rows one by one, in 80 to 100 columns."""

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown
        width = min(max(shutil.get_terminal_size().columns, 80), 100)
        expected = (width - 32) * 2 // 5
        # One less for the last column, where wrapping may split a wide character.
        self._widths = (10, 16, expected, width - 33 - expected)
        self.row("verdict", "about", "expected", "found")
        self.row(*("-" * width for width in self._widths))

    def row(self, *cells: str) -> None:
        if not self._is_shown:
            return
        columns = [
            # A NUL after each wide character stands for its second column.
            textwrap.wrap(_WIDE.sub("\\1\0", cell), width, break_on_hyphens=False)
            for cell, width in zip(cells, self._widths, strict=True)
        ]
        for number in range(max(map(len, columns))):
            line = "  ".join(
                (column[number] if number < len(column) else "").ljust(width)
                for column, width in zip(columns, self._widths, strict=True)
            )
            _print(line.replace("\0", "").rstrip())


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    shown = text.encode(encoding, "backslashreplace").decode(encoding)
    sys.stdout.write(f"{shown}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
