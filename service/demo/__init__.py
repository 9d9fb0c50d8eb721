"""The demo shop: a seed -> items, shoppers, events and judged requests, made by this project."""
