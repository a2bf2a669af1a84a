"""OpenPGP letters (RFC 3156) by GnuPG: sign, encrypt, verify, open.

What it is: `keyring` (one GnuPG home for our keys and our peers'), the four doings (`sign`, `encrypt`, `verify`,
`decrypt`), all on octets, and `protector`, which runs them beside the loop. What it is not: the plan
(`routing.sealing`), nor the question whether a good signer may vouch for the author (`certs.seals`). GnuPG is asked
through python-gnupg, with two differences: its status comes on a descriptor of its own, and nothing it writes is
released before the status has been judged (`status`). Start with `decrypt`.
"""
