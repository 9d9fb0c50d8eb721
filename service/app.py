"""app.py: a workspace -> the Flask application that serves what is published in it."""

from functools import partial
from typing import cast

from flask import Flask

from indexes.times import TimeSettings
from indexes.workspace import Workspace
from reranker.events.settings import EventSettings
from reranker.experiments.shadows import Shadows
from reranker.feedback.files import rankings_folder
from reranker.feedback.log import RankingLog
from reranker.feedback.settings import RankingLogSettings
from service.access.guard import Guard, register_guard
from service.access.key_ring import KeyRing
from service.access.rate_limits import RateLimits, Rates
from service.access.sessions import Sessions
from service.access.sites import Hosts, Origins
from service.api.batch import batch_routes
from service.api.cart import cart_routes
from service.api.churn import churn_routes
from service.api.event_routes import LogKeeper, events_routes
from service.api.events import EventKeeper
from service.api.health import health_routes
from service.api.items import items_routes
from service.api.next_action import next_action_routes
from service.api.recommend import recommend_routes
from service.api.requests import RequestReader
from service.api.rerank import Reranking, rankings_routes, rerank_routes
from service.api.short_road import ShortRoad, lay_short_road
from service.api.users import users_routes
from service.formats.errors import register_error_formats
from service.formats.foreign import Translator
from service.formats.format_routes import format_routes, sharing_our_address
from service.formats.metarank.recommend import metarank_recommendations
from service.formats.metarank.routes import metarank_routes
from service.formats.settings import FormatSettings
from service.http.addresses import is_loopback
from service.http.answers import register_errors, register_security_headers
from service.http.settings import LimitSettings, ServeSettings
from service.live.kept_rankings import KeptRankings
from service.live.pulling import Pulling
from service.live.reload import Served
from service.live.retention import Retention
from service.observability.exposition import run_folder
from service.observability.prometheus import Metrics
from service.observability.request_ids import register_request_ids
from service.observability.settings import LogSettings
from service.openapi.formats_openapi import described
from service.openapi.openapi import openapi_routes
from service.page.page_routes import page_routes
from service.page.parts.context import Applications


def create_app(workspace: Workspace) -> Flask:
    """Load what is published and wire the routes. Failure when nothing sound is published.

    New versions are picked up by `served(app).refresh()`; `reranker serve` calls it by itself.
    """
    limits = workspace.section(LimitSettings)
    events = workspace.section(EventSettings)
    reader = RequestReader.of(workspace)
    metrics = Metrics(workspace.home)
    served = Served(workspace, metrics)
    metrics.watch(lambda: served.state)
    app = Flask("reranker", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = limits.body_bytes + 1  # see received.py
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # one error shape for OPTIONS, too
    app.url_map.merge_slashes = False  # and no HTML that redirects
    rankings = RankingLog(
        rankings_folder(workspace), workspace.section(RankingLogSettings), metrics.count_rankings
    )
    app.extensions["served"], app.extensions["rankings"] = served, rankings
    app.extensions["retention"] = Retention(workspace, served.histories, metrics)
    app.extensions["metrics"], app.extensions["pulling"] = metrics, Pulling(workspace)
    register_request_ids(app, workspace.section(LogSettings), metrics)
    register_error_formats(app)
    hosts, origins, guard = _let_in(app, workspace, metrics, limits)
    register_errors(app)
    shadows = Shadows(
        workspace.home,
        workspace.section(RankingLogSettings),
        metrics.count_shadow,
        metrics.note_shadow,
        lambda: metrics.answering,
    )
    kept = KeptRankings(run_folder(), limits.kept_rankings)
    reranking = Reranking(served, metrics, rankings, shadows, kept)
    translator = Translator(reranking, reader, limits, workspace.section(FormatSettings))
    others = sharing_our_address(translator, limits)
    app.register_blueprint(rerank_routes(reranking, reader, limits, others))
    app.register_blueprint(rankings_routes(kept))
    keeper = EventKeeper(served.histories, limits, events, workspace.section(TimeSettings), metrics)
    door = hosts, origins, guard
    lay_short_road(
        app,
        ShortRoad(reranking, reader, limits, workspace.section(LogSettings), door, metrics),
    )
    logs = LogKeeper(keeper, workspace)
    app.register_blueprint(events_routes(keeper, logs))
    app.register_blueprint(format_routes(translator, limits, served))
    applications = Applications.of(served, reader, limits)
    recommend = applications.recommend
    by_metarank = partial(metarank_recommendations, recommend, rankings, served)
    app.register_blueprint(
        metarank_routes(translator, limits, logs, by_metarank, events.request_events)
    )
    app.register_blueprint(batch_routes(reranking, reader, limits, guard))
    app.register_blueprint(next_action_routes(applications.next_action, limits))
    app.register_blueprint(items_routes(workspace, served, metrics))
    app.register_blueprint(users_routes(workspace, served.histories))
    app.register_blueprint(cart_routes(applications.cart, limits))
    app.register_blueprint(churn_routes(applications.churn, workspace.section(TimeSettings)))
    app.register_blueprint(recommend_routes(recommend, served, reader, limits, events, rankings))
    app.register_blueprint(health_routes(served, metrics))
    app.register_blueprint(openapi_routes(limits, events, described(limits)))
    app.register_blueprint(page_routes(workspace, served, limits, metrics, applications))
    return app


def _let_in(
    app: Flask, workspace: Workspace, metrics: Metrics, limits: LimitSettings
) -> tuple[Hosts, Origins, Guard]:
    """Who may ask at all: by the host that is asked, by the key, by the site, by how often."""
    settings = workspace.section(ServeSettings)
    loopback = is_loopback(settings.host)
    ring = KeyRing(workspace.home, run_folder())
    sessions = Sessions(ring, run_folder())
    register_security_headers(app)
    origins = Origins(settings.origins, metrics)
    rates = RateLimits(Rates(run_folder()), limits.rate, metrics)
    guard = Guard(ring, sessions, origins, rates, metrics, loopback=loopback)
    hosts = Hosts(settings.hosts, metrics, loopback=loopback)
    register_guard(app, hosts, origins, guard)
    return hosts, origins, guard


def served(app: Flask) -> Served:
    """What this application answers from."""
    return cast(Served, app.extensions["served"])


def ranking_log(app: Flask) -> RankingLog:
    """Where this application logs its rankings."""
    return cast(RankingLog, app.extensions["rankings"])


def pulling(app: Flask) -> Pulling:
    """What takes newer sets from a store in this application; `reranker serve` lets it run."""
    return cast(Pulling, app.extensions["pulling"])


def retention(app: Flask) -> Retention:
    """What deletes by age in this application; `reranker serve` lets it run."""
    return cast(Retention, app.extensions["retention"])


def metrics_of(app: Flask) -> Metrics:
    """Where this application counts."""
    return cast(Metrics, app.extensions["metrics"])
