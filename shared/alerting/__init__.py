"""The channels that tell people: one small module for each, all of them optional."""
