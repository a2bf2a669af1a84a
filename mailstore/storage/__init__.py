"""The tables and the SQL of `mailstore`, and nothing else: no key is opened here, no rule of IMAP decided.

`tables` names what the first migration made; `keys`, `blobs`, `boxes`, `rows` each hold the statements and the
applier of one kind of change. Who calls: the modules above this folder, and the committer through the appliers.
"""
