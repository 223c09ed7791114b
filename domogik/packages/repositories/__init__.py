"""The packages that repositories offer: fetched, cached and indexed."""
