"""Results that wait on disk until every sink has acknowledged them."""
