"""One file per rule; each is a pure function from facts to a decision or None."""
