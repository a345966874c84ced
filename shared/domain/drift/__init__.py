"""Drift: any difference between the state table, Cloudflare and the directory, decided purely."""
