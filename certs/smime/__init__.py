"""S/MIME 4.0 (RFC 8551): sign, verify, encrypt, decrypt whole MIME entities on their octets.

What it is: CMS on the primitives of `cryptography`; what is written is written by `certs.smime.der`, what is
read is bounded there and read through asn1crypto in `certs.smime.structure`. What it is not: who may seal for
whom (`certs.seals`), a mail reader, or a policy. Nothing is returned before it is verified or authenticated.
Start at `certs.smime.letter`; then `sign` and `verify`, `encrypt` and `decrypt`.
"""
