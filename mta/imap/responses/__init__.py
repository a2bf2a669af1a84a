"""What the server says, as octets: pure encoders, one file per family. Start at `strings`."""
