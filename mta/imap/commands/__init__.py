"""Commands as frozen values and their parsers, one file per family. Start at `table`."""
