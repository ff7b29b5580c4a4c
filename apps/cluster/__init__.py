"""Several servers, of another make, that share a PostgreSQL and a Redis."""
