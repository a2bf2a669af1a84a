"""The annuaire des sceaux: which seal each domain opens, and with which keys.

What it is: reading (`parse`), making (`write`), verifying (`verify`) the signed list, the snapshot in force
(`snapshot`) and its answers (`directory`). What it is not: how signed lists are opened, compared and refreshed,
which `trust_directory.signed_list` and `trust_directory.refresh` do for every list. Format: docs/adr/0006.
"""
