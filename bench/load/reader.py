"""Reads a large mailbox over and over: `FETCH 1:* (items)` until it is told to halt.

What it is: a load generator (`python -m bench.load.reader`), one session, no pause between two FETCHes.
What it is not: a mail client. Its specification: endpoint, account, items, expected (messages in the mailbox),
repeats (how many FETCHes after `go`; 0 = until `halt`). After its report the session stays open until it is ended:
the process that serves it still lives then, and its CPU is read to the nanosecond.
"""

from __future__ import annotations

import json
import select
import sys
import time
from typing import Any

from bench.load.imap_wire import ImapFailed, ImapWire


def _halted() -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], 0)
    return bool(readable)


def _run(spec: dict[str, Any]) -> None:
    end, account = spec["endpoint"], spec["account"]
    items = spec["items"].encode()
    with ImapWire(
        end["host"], end["port"], server_name=end["server_name"], authority=end["authority"]
    ) as wire:
        wire.login(account["login"], account["password"])
        wire.select()
        print(json.dumps({"ready": True}), flush=True)
        sys.stdin.readline()
        spent, began, fetches = time.process_time(), time.perf_counter(), 0
        while fetches < spec["repeats"] or (spec["repeats"] == 0 and not _halted()):
            answered = wire.fetch(items)
            if answered != spec["expected"]:
                raise ImapFailed(f"{answered} messages were answered, {spec['expected']} expected")
            fetches += 1
        report = {
            "fetches": fetches,
            "cpu": time.process_time() - spent,
            "wall": time.perf_counter() - began,
        }
        print(json.dumps(report), flush=True)
        sys.stdin.read()


def main() -> int:
    """Read the specification and do it, or print `{"error"}`."""
    spec = json.loads(sys.stdin.readline())
    try:
        _run(spec)
    except (OSError, ImapFailed) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
