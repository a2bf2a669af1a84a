"""SMTP: the pure grammar and data rules, the listener (aiosmtpd) and the relay client. Start at `grammar`, then `server`."""
