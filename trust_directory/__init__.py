"""Who may we talk to, and who are they? The liste blanche, the health directory, our boxes. Start at `directory`."""
