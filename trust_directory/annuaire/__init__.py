"""trust_directory.annuaire: see the package above."""
