"""A whole trust space on localhost, and the story that shows what it does. Start at `story`.

What it is: real processes (`vaguemestre serve`), real clients (smtplib, imaplib), invented people. What it is
not: a test double; nothing here is imported by the product. No socket leaves the loopback interface.
"""
