"""Where does mail rest? Sealed octets, folders, rows and keys. Start at `mailboxes`."""
