"""XML for the trust space: one hardened parser, enveloped signatures made and verified.

What it is not: a general XML-DSig library; one shape of signature is written and one is read, because every
option of the standard that nobody uses is an attack that somebody knows. Start with `certs.xml.parser`.
"""
