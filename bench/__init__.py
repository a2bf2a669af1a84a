"""The benchmark of Vaguemestre against Postfix and Dovecot, on this machine, in the same minutes.

What it is: a harness that starts our server and a peer on the loopback, gives both the same letters in turn,
and prints what each letter cost (CPU of every process of a server) and how long its author waited.
What it is not: part of the product (it is in no wheel) and not a gate: a figure never makes it fail.

Where to start: `servers.py` (what a server under test is), `catalogue.py` (which rows exist), `runner.py`
(warm-up, alternating rounds), `keeper.py` (how CPU is counted). `ours.py` is the only file that knows us.
"""
