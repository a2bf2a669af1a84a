"""Which keys and chains do we trust, and how do we sign?

What it is: X.509 paths with revocation (`certs.chain`), our own keys (`certs.keystore`), TLS contexts
(`certs.tls`), the authority of demos and private spaces (`certs.authority`) and XML signatures (`certs.xml`).
What it is not: a place for key material (keys, anchors and lists of revoked certificates live in configured
folders, never beside this code), nor the one who decides which domain a name may speak for: that is
`trust_directory`. Start with `certs.verdict`, then `certs.chain`.
"""
