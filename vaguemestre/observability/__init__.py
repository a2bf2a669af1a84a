"""What an operator sees of a running node: logs, metrics, health, and the audit trail. Start at `logging`."""
