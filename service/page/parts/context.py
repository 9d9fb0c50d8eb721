"""context.py: the serving process -> what the page's callbacks read: state, home, engine, jobs."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from indexes.workspace import Workspace
from reranker.evaluation.requests import request_reader
from reranker.ranking.state import ServedState
from service.api.cart import CartCompletion
from service.api.churn import ChurnForecast
from service.api.next_action import NextActions
from service.api.recommend import Recommending
from service.api.requests import RequestReader
from service.http.settings import LimitSettings
from service.live.jobs import Jobs
from service.live.reload import Served
from service.observability.prometheus import Metrics
from service.page.parts.page_judgments import PageJudgments
from service.page.parts.request_sets import RequestSets
from service.page.parts.shop_engine import ShopEngine
from service.page.parts.shoppers import Shoppers
from service.page.parts.thumbnails import Thumbnails


class Applications(NamedTuple):
    """What answers the routes of the same names."""

    recommend: Recommending
    cart: CartCompletion
    churn: ChurnForecast
    next_action: NextActions

    @classmethod
    def of(cls, served: Served, reader: RequestReader, limits: LimitSettings) -> "Applications":
        """By what is served."""
        return cls(
            Recommending(served, reader, limits),
            CartCompletion(served, reader, limits),
            ChurnForecast(served),
            NextActions(served, reader),
        )


@dataclass(frozen=True, eq=False)
class Page:
    """One for each application; everything that it opens is opened when first asked for."""

    workspace: Workspace
    served: Served
    limits: LimitSettings
    metrics: Metrics
    applications: Applications

    @property
    def state(self) -> ServedState:
        """What answers now; read it once in each callback."""
        return self.served.state

    @cached_property
    def reader(self) -> RequestReader:
        """Checks requests that are made here as those of POST /rerank are."""
        return RequestReader.of(self.workspace)

    @cached_property
    def sets(self) -> RequestSets:
        """The request sets of this home."""
        return RequestSets(self.workspace.home, lambda: request_reader(self.workspace))

    @cached_property
    def judgments(self) -> PageJudgments:
        """What was judged by hand on the page."""
        return PageJudgments(self.workspace.home)

    @cached_property
    def shoppers(self) -> Shoppers:
        """Who can be looked for by what they did."""
        return Shoppers(self.served.histories, lambda: self.state.index)

    @cached_property
    def engine(self) -> ShopEngine:
        """The demo shop's search engine, if this is the home of one."""
        return ShopEngine(self.workspace.home)

    @cached_property
    def thumbnails(self) -> Thumbnails:
        """Pictures of items: `page.thumbnails.thumbnail_of(item)`, the src of an <img>, or None."""
        return Thumbnails.of(self.workspace)

    @cached_property
    def jobs(self) -> Jobs:
        """Evaluations and tunings at work, and done."""
        return Jobs(self.workspace)
