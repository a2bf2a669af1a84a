"""How do documents reach the record and the hospital? Built in part 3 and 4; today only the place exists."""
