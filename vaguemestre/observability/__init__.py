"""vaguemestre.observability: see the package above."""
