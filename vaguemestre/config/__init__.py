"""vaguemestre.config: see the package above."""
