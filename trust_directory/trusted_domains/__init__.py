"""The liste blanche: which domains belong to the trust space, and which certificate may speak for each.

What it is: reading (`parse`), making (`write`), verifying (`verify`) the signed list, and the snapshot in force
(`snapshot`). What it is not: fetching and scheduling (`trust_directory.refresh`). Start with `snapshot`.
"""
