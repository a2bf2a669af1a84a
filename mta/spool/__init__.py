"""The spool: letters we answer for, and the times at which they are due. Start at `item`."""
