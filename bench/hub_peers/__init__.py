"""Who is measured by `bench.hub`, and what feeds and counts them."""
