"""What should happen to this letter? Facts in, plan out: no I/O, no clock, no logging. Start at `planner`."""
