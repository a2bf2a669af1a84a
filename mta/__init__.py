"""How do bytes come in and go out? SMTP (submission and relay), IMAP, spool, delivery and reports.

Strictly, RFC 5598 gives mailbox access to the message store and not to an MTA: the imposed name means "the
mail edge" here. What it is not: where mail rests (`mailstore`) or who is trusted (`trust_directory`). Start
at `mta.pipeline`.
"""
