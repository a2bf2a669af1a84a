"""SMTP: the pure grammar and data rules, the listener (aiosmtpd) and the relay client.

Start at `session` (the table of states), then `connection` (one conversation) and `server` (the listener).
"""
