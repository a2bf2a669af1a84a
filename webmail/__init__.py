"""What does a citizen see? Built in part 5; today only the place exists."""
