"""The vocabulary that every package speaks: what is a message, an address, an identity, a reply?

What may enter: immutable values, their parsers, the named reply table and the Protocols between packages;
standard library only. What may not: input or output, a clock but the one in `core.clock`, logging, policy,
or anything that only one package uses. The list of modules is closed (a test holds it). Start with
`core.ports`, then `core.address` and `core.reply`.
"""
