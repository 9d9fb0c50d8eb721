"""One request and one answer: body, limits, deadline, error shape, headers, addresses."""
