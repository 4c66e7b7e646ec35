"""Settings for every test."""

from hypothesis import settings

# Time is measured in benchmarks: a busy machine must not fail a property.
settings.register_profile("effnet", deadline=None)
settings.load_profile("effnet")
