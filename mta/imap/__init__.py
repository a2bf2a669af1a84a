"""IMAP: a pure core (grammar, session, responses) and its Twisted transport. Start at `session`."""
