"""A console by which a test drives a program: lines in, lines out.

Each line of the input is a Python expression. Its answer is one line: "= " and the value, or "! " and the exception
that it has raised, both as repr has them. Lines that begin with "* " are announcements, which come at any time.
"""

import logging
import sys
import threading
from typing import Any, Dict

_writing = threading.Lock()


def _write(kind: str, text: str) -> None:
    with _writing:
        sys.stdout.write(f"{kind} {text}\n")
        sys.stdout.flush()


def announce(text: str) -> None:
    _write("*", text)


class _Announcer(logging.Handler):
    """Announces when the package logs one of some messages."""

    def __init__(self, announcements: Dict[str, str]):
        super().__init__()
        self.announcements = announcements

    def emit(self, record: logging.LogRecord) -> None:
        text = self.announcements.get(record.getMessage())
        if text:
            announce(text)


def announce_logged(logger: logging.Logger, announcements: Dict[str, str]) -> None:
    logger.setLevel(logging.DEBUG)
    logger.addHandler(_Announcer(announcements))


def run(names: Dict[str, Any]) -> None:
    """Serves the console until the input ends. What is no Exception, as SystemExit, ends the program."""
    for line in sys.stdin:
        try:
            _write("=", repr(eval(line, names)))
        except Exception as exc:
            _write("!", repr(exc))
