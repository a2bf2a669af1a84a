"""What each command does: coroutines over the ports, one file per family. Start at `table`."""
