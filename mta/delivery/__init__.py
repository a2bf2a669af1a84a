"""Delivery: one agent per kind of plan action, and the engine that drives them. Start at `engine`."""
