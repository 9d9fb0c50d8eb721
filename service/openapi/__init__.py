"""What the routes take and answer, as OpenAPI 3.1: GET /openapi.json."""
