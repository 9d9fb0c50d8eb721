"""The generated shoppers, clicks, judged requests, oracle."""
