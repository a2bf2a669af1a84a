"""How long fuzzing lasts: a smoke in every run, `make fuzz` for long (`--hypothesis-profile=long`)."""

from hypothesis import settings

settings.register_profile("long", max_examples=20_000, deadline=None)
