"""What builds, serves and tests the book. The Makefile calls it."""
