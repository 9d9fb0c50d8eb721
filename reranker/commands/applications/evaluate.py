"""evaluate.py: `reranker evaluate` with what measures the applications."""

from reranker.commands.applications.carts import evaluate_cart_command
from reranker.commands.applications.churn import evaluate_churn_command
from reranker.commands.applications.recommend import evaluate_recommend_command
from reranker.commands.evaluate import evaluate_command

for command in (evaluate_cart_command, evaluate_churn_command, evaluate_recommend_command):
    evaluate_command.add_command(command)

__all__ = ["evaluate_command"]
