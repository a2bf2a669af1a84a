"""The command line of the benchmark: `python -m bench [--quick] [--rows NAME …] …`.

What it is: the servers chosen, the run made, its exit status: 0 when everything ran, whatever the figures say;
1 when something did not run; 2 for a wrong argument. What it is not: the run; see `campaign.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from bench.campaign import conduct
from bench.ground import run_folder
from bench.options import parse_arguments
from bench.ours import Vaguemestre
from bench.peers.postfix import PostfixAndDovecot
from bench.servers import Server


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is in the module's docstring."""
    options = parse_arguments(arguments)
    console = Console()
    ours: Server = Vaguemestre() if options.ours == "vaguemestre" else PostfixAndDovecot("the peer again")
    with run_folder(options.folder, keep=options.keep) as folder:
        findings = conduct(options, {"ours": ours, "peer": PostfixAndDovecot()}, folder, console)
        if options.keep:
            console.print(f"kept: {folder}")
    for failure in findings.failures:
        console.print(f"[red]did not run:[/red] {failure}", highlight=False)
    return 1 if findings.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
