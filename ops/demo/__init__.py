"""`d1fleet demo`: the whole path of a signup on this machine, told step by step."""
