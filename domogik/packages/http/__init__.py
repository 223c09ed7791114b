"""The HTTP client: small responses, and large archives over unreliable connections."""
