"""evaluate.py: `reranker evaluate` with what measures the applications."""

from reranker.commands.applications.carts import evaluate_cart_command
from reranker.commands.evaluate import evaluate_command

evaluate_command.add_command(evaluate_cart_command)

__all__ = ["evaluate_command"]
