"""IMAP4rev1 (RFC 3501): a pure core (grammar, literals, commands, session, responses) and its Twisted transport.

What it is: how a mail client reads a box. What it is not: where mail rests (`core.ports.MailStore`). Start at
`session`, then `conversation` (which carries commands out, one after the other) and `server` (the bytes).
Nothing below `server` knows Twisted; nothing below `conversation` knows asyncio.
"""
