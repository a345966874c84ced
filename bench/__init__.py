"""What d1fleet is measured by: `make bench`, and `docs/benchmarks.md` for what the rows mean."""
