"""Doubles for every port and players for dialogue and golden files. Tests only; not in the wheel."""
