"""The same vectors at work: recommendations, carts, churn.

Each is measured beside plain baselines (`evaluate recommend`, `cart`, `churn`); the best ships.
"""
