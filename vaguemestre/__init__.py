"""What runs, with which settings? The composition root, the only package that knows every class. See `wiring`."""
