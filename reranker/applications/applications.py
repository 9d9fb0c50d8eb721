"""applications.py: what a training publishes beside the model, for the applications."""

from typing import Final

from reranker.applications.carts.cart_publishing import write_carts
from reranker.applications.churn.churn_publishing import write_churn
from reranker.applications.recommendations.recommend_publishing import write_recommend
from reranker.applications.recommendations.trend_publishing import write_trends
from reranker.model_selection.train import Beside

BESIDE: Final[tuple[Beside, ...]] = (write_recommend, write_trends, write_carts, write_churn)
