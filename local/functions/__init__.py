"""The functions on this machine: real processes, with Lambda's semantics around them."""
