"""Settings: where values come from, what is refused, and that each one has an effect."""

import ast
import re
from pathlib import Path

import msgspec
import pytest
from support.paths import ROOT, TESTS

from indexes.encoders.settings import EncoderSettings
from indexes.workspace import Workspace
from reranker.ranking.settings import RankingSettings
from service.commands.cli import run
from service.commands.settings import settings_page
from service.http.settings import LimitSettings, ServeSettings
from service.setting_types import allowed
from service.settings import (
    SECTIONS,
    BadSetting,
    known_settings,
    load_workspace,
    with_options,
)

# Every setting, and the test that proves it does something: "test file: test". A new setting
# without its proof fails `test_every_setting_is_proved`.
PROVED_BY = {
    "index.factory": "test_rebuild: test_a_new_factory_encodes_nothing",
    "items.image_folder": "test_thumbnails: test_another_folder_may_be_named",
    "items.changed_items": "test_items_api: test_changed_items",
    "items.image_hosts": "test_thumbnails: test_an_address_is_shown_if_the_settings_name_its_host",
    "encoder.dimensions": "test_rebuild: test_a_new_model_encodes_everything_and_says_so",
    "rebuild.template": "test_rebuild: test_a_new_template_encodes_everything_and_says_so",
    "rebuild.max_bad_share": "test_rebuild: test_too_many_bad_lines_leave_the_old_version",
    "rebuild.max_shrink": "test_rebuild: test_a_sudden_loss_of_items_needs_force",
    "rebuild.columns": "test_item_fields: test_rebuild_columns_go_before_the_table",
    "rebuild.item_vectors": "test_item_vectors: test_setting_item_vectors",
    "rebuild.vector_weights": "test_item_vectors: test_setting_vector_weights",
    "rebuild.keep": "test_service_setting_effects: test_rebuild_keep",
    "encoder.model": "test_service_setting_effects: test_encoder_model",
    "encoder.adapted": "test_adapt: test_what_is_learned_holds_for_queries_that_were_not",
    "adapt.side": "test_adapt: test_queries_alone_learn_and_items_stay_where_they_are",
    "adapt.layers": "test_adapt: test_only_the_last_layers_learn",
    "adapt.rate": "test_adapt: test_what_is_not_proved_is_not_kept",
    "adapt.anchor": "test_adapt: test_an_anchor_holds_vectors_where_they_were",
    "adapt.epochs": "test_adapt: test_an_anchor_holds_vectors_where_they_were",
    "adapt.minutes": "test_adapt: test_an_adapted_encoder_is_measured_beside_the_original_too",
    "adapt.min_users": "test_adapt: test_what_one_shopper_typed_is_not_learned",
    "image.model": "test_image_vectors: test_without_a_model_no_picture_is_read",
    "image.max_bytes": "test_image_encoder: test_image_limits",
    "image.max_pixels": "test_image_encoder: test_image_limits",
    "image.batch": "test_image_vectors: test_pictures_are_encoded_so_many_at_once",
    "train.modalities": "test_model_modalities: "
    "test_training_reads_them_unless_the_settings_say_no",
    "train.modality_dropout": "test_item_modalities: "
    "test_an_item_without_a_picture_does_not_suffer",
    "encoder.query_prompt": "test_service_setting_effects: test_encoder_prompts",
    "encoder.document_prompt": "test_service_setting_effects: test_encoder_prompts",
    "encoder.dtype": "test_service_setting_effects: test_encoder_dtype",
    "encoder.batch_tokens": "test_service_setting_effects: test_encoder_batch_tokens",
    "encoder.threads": "test_service_setting_effects: test_encoder_threads",
    "evaluation.max_bad_share": "test_evaluation: test_bad_lines_are_shown_and_too_many_fail",
    "evaluation.resamples": "test_evaluation: test_the_same_seed_gives_the_same_numbers",
    "evaluation.seed": "test_evaluation: test_the_same_seed_gives_the_same_numbers",
    "ranking.query_cache": "test_service_setting_effects: test_ranking_query_cache",
    "ranking.user_cache": "test_service_setting_effects: test_ranking_user_cache",
    "ranking.text_limit": "test_service_setting_effects: test_ranking_text_limit",
    "ranking.encoder_threads": "test_service_setting_effects: test_ranking_encoder_threads",
    "ranking.budget_ms": "test_never_worse: test_ranking_budget_ms",
    "ranking.breaker_failures": "test_never_worse: test_ranking_breaker_failures_and_seconds",
    "ranking.breaker_seconds": "test_never_worse: test_ranking_breaker_failures_and_seconds",
    "admission.budget_share": "test_admission: test_admission_budget_share",
    "admission.requests": "test_admission: test_admission_requests_and_candidates",
    "admission.candidates": "test_admission: test_admission_requests_and_candidates",
    "serve.drain_seconds": "test_stopping: test_a_client_that_obeys_readiness_loses_nothing",
    "rankings.log": "test_ranking_log: test_setting_log",
    "rankings.days": "test_ranking_log: test_setting_days",
    "rankings.megabytes": "test_ranking_log: test_setting_megabytes",
    "events.types": "test_events: test_setting_types",
    "events.session_minutes": "test_events: test_out_of_order_and_visits_are_counted",
    "times.earliest": "test_times: test_the_range_is_a_setting",
    "times.future_minutes": "test_times: test_the_range_is_a_setting",
    "events.bot_events_per_minute": "test_events: test_bots_are_reported_or_dropped",
    "events.drop_null_ids": "test_import_warnings: test_ids_that_name_nobody",
    "events.drop_bots": "test_events: test_bots_are_reported_or_dropped",
    "events.max_bad_share": "test_events: test_bad_lines_are_counted_and_too_many_leave_everything",
    "events.request_events": "test_events_api: test_setting_request_events",
    "history.events_per_user": "test_histories: test_setting_events_per_user",
    "history.days": "test_histories: test_setting_days",
    "history.expire_hours": "test_private: test_setting_expire_hours",
    "history.url": "test_redis_histories: test_setting_url",
    "history.read_seconds": "test_redis_histories: test_setting_read_seconds",
    "history.wait_replicas": "test_redis_histories: test_setting_wait_replicas",
    "history.wait_seconds": "test_histories: test_setting_wait_seconds",
    "train.encoder": "test_training: test_setting_changes_what_is_learned",
    "train.fusion": "test_training: test_setting_changes_what_is_learned",
    "train.length": "test_training: test_setting_changes_what_is_learned",
    "train.width": "test_training: test_setting_changes_what_is_learned",
    "train.blocks": "test_training: test_setting_changes_what_is_learned",
    "train.heads": "test_training: test_setting_changes_what_is_learned",
    "train.dropout": "test_training: test_setting_changes_what_is_learned",
    "train.id_dropout": "test_training: test_setting_changes_what_is_learned",
    "train.learning_rate": "test_training: test_setting_changes_what_is_learned",
    "train.batch_users": "test_training: test_setting_changes_what_is_learned",
    "train.batch_events": "test_training: test_setting_changes_what_is_learned",
    "train.full_softmax_items": "test_training: test_setting_changes_what_is_learned",
    "train.negatives": "test_training: test_setting_changes_what_is_learned",
    "train.validation_users": "test_training: test_setting_changes_what_is_learned",
    "train.min_users": "test_user_counts: test_setting_min_users",
    "train.min_users_together": "test_user_counts: test_setting_min_users_together",
    "train.user_events": "test_user_counts: test_setting_user_events",
    "train.epochs": "test_training: test_setting_epochs",
    "train.patience": "test_training: test_it_stops_in_time_and_keeps_the_best",
    "train.minutes": "test_training: test_minutes_end_a_training_with_a_model",
    "train.precision": "test_training: test_setting_precision",
    "train.min_validation_shoppers": "test_train_command: test_setting_min_validation_shoppers",
    "train.encoder_proof": "test_default_model: test_too_few_searches_fit_nothing",
    "train.keep": "test_train_command: test_only_so_many_versions_are_kept",
    "train.seed": "test_training: test_the_same_seed_gives_the_same_model_and_another_one_another",
    "serve.host": "test_service_serve: test_an_address_that_cannot_be_had_is_refused",
    "serve.port": "test_service_serve: test_an_address_that_cannot_be_had_is_refused",
    "serve.workers": "test_service_serve: test_workers_threads_and_grace_reach_gunicorn",
    "serve.threads": "test_service_serve: test_workers_threads_and_grace_reach_gunicorn",
    "serve.grace_seconds": "test_service_serve: test_workers_threads_and_grace_reach_gunicorn",
    "logs.format": "test_service_logs: test_setting_format",
    "logs.level": "test_service_logs: test_setting_level",
    "logs.access": "test_service_logs: test_setting_access",
    "logs.queries": "test_service_logs: test_setting_queries",
    "logs.exception_texts": "test_service_logs: test_setting_exception_texts",
    "limits.body_bytes": "test_service_errors: test_limits_body_bytes",
    "limits.candidates": "test_service_errors: test_limits_candidates",
    "limits.batch": "test_rerank_batch: test_limits_batch",
    "limits.kept_rankings": "test_ranking_pages: test_limits_kept_rankings",
    "limits.query_chars": "test_service_errors: test_limits_query_chars",
    "limits.text_chars": "test_service_errors: test_limits_text_chars",
    "limits.history": "test_service_errors: test_limits_history",
    "limits.arrival_seconds": "test_slow_clients: test_limits_arrival_seconds",
    "limits.answer_seconds": "test_slow_readers: test_limits_answer_seconds",
    "limits.unread_bytes": "test_slow_readers: test_limits_unread_bytes",
    "limits.unread_bytes_caller": "test_slow_readers: test_limits_unread_bytes_caller",
    "limits.rate": "test_rate_limits: test_limits_rate_and_a_keys_own",
    "serve.hosts": "test_hosts: test_serve_hosts",
    "serve.origins": "test_origins: test_serve_origins",
    "formats.documents": "test_format_settings: test_formats_documents_and_documents_of",
    "formats.documents_of": "test_format_settings: test_formats_documents_and_documents_of",
    "formats.id_share": "test_format_settings: test_formats_id_share",
    "formats.models": "test_format_settings: test_formats_models",
    "reload.seconds": "test_service_reload: test_reload_seconds",
    "reload.source": "test_fleet_serving: test_reload_source_and_pull_seconds",
    "reload.pull_seconds": "test_fleet_serving: test_reload_source_and_pull_seconds",
}


def test_every_setting_is_proved() -> None:
    assert set(PROVED_BY) == set(known_settings())
    for name, proof in PROVED_BY.items():
        module, test = proof.split(": ")
        [path] = TESTS.rglob(f"{module}.py")
        assert f"def {test}(" in path.read_text(), f"{name}: {proof} is not there"


def test_every_section_is_assembled() -> None:
    declared = {
        node.name
        for package in ("indexes", "reranker", "service")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "Settings" for base in node.bases)
    }
    assert declared == {kind.__name__ for kind in SECTIONS.values()}


def test_every_setting_has_help_and_a_default_that_is_allowed() -> None:
    for setting in known_settings().values():
        assert setting.help.endswith("."), setting.name
        assert msgspec.convert(setting.default, setting.type) == setting.default


def test_the_page_is_what_the_command_writes() -> None:
    written = (ROOT / "docs" / "settings.md").read_text()
    assert written == settings_page(), "run `reranker settings --markdown > docs/settings.md`"


def in_file(tmp_path: Path, text: str) -> Workspace:
    tmp_path.joinpath("settings.toml").write_text(text)
    return load_workspace(tmp_path, None, {})


def test_defaults_where_nothing_is_set(tmp_path: Path) -> None:
    workspace = load_workspace(tmp_path / "nowhere", None, {"PATH": "/bin"})
    assert workspace.section(ServeSettings) == ServeSettings()
    assert workspace.sources == {}


def test_the_environment_wins_over_the_file_and_options_over_both(tmp_path: Path) -> None:
    text = "[serve]\nport = 9000\nthreads = 2\n[limits]\nquery_chars = 10\n"
    tmp_path.joinpath("settings.toml").write_text(text)
    workspace = load_workspace(tmp_path, None, {"RERANKER_SERVE_PORT": "9001"})
    assert workspace.section(ServeSettings) == ServeSettings(port=9001, threads=2)
    assert workspace.section(LimitSettings).query_chars == 10
    told = with_options(workspace, ServeSettings, port=9002, threads=None)
    assert told.section(ServeSettings) == ServeSettings(port=9002, threads=2)
    assert told.sources["serve.port"] == "--port"
    assert told.sources["serve.threads"] == str(tmp_path / "settings.toml")


def test_short_names_and_texts_of_the_environment_become_what_they_mean(tmp_path: Path) -> None:
    environ = {
        "RERANKER_HOST": "::1",
        "RERANKER_PORT": "0",
        "RERANKER_ENCODER_DIMENSIONS": "128",
        "RERANKER_RELOAD_SECONDS": "0.5",
        "RERANKER_HOME": "elsewhere",
        "RERANKER_TEST_NO_SKIPS": "1",
    }
    workspace = load_workspace(tmp_path, None, environ)
    assert workspace.section(ServeSettings) == ServeSettings(host="::1", port=0)
    assert workspace.section(EncoderSettings).dimensions == 128


def test_a_named_file_is_read_instead_of_the_homes_and_has_to_exist(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[ranking]\nquery_cache = 5\n")
    tmp_path.joinpath("settings.toml").write_text("[ranking]\nquery_cache = 6\n")
    assert load_workspace(tmp_path, other, {}).section(RankingSettings).query_cache == 5
    with pytest.raises(BadSetting, match=r"gone\.toml cannot be read"):
        load_workspace(tmp_path, tmp_path / "gone.toml", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[serve]\nprot = 1\n", "serve.prot is no setting; the nearest is 'serve.port'"),
        ("[srve]\nport = 1\n", r"\[srve\] is no section; the nearest is 'serve'"),
        ("port = 1\n", "port"),
        ("serve = 1\n", "outside a section"),
        ('[serve]\nport = "many"\n', "serve.port is 'many'.*a whole number from 0 to 65,535"),
        ('[serve]\nport = "9000"\n', "serve.port is '9000'"),
        ("[serve]\nport = 70000\n", "serve.port is 70000"),
        ("[serve]\nport = true\n", "serve.port is True"),
        ("[reload]\nseconds = 0\n", "reload.seconds is 0.*a number above 0"),
        ("[reload]\nseconds = nan\n", "reload.seconds is nan"),
        ('[encoder]\ndtype = "int4"\n', "encoder.dtype is 'int4'.*one of \""),
        ("[serve\n", "is not TOML"),
    ],
)
def test_what_cannot_be_is_refused_with_name_value_and_allowed(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(BadSetting, match=message):
        in_file(tmp_path, text)


def test_broken_bytes_are_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("settings.toml").write_bytes(b"\xff\xfe[serve]")
    with pytest.raises(BadSetting, match="is not TOML"):
        load_workspace(tmp_path, None, {})


def test_unknown_variables_are_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"RERANKER_SERVE_PROT.*nearest is 'RERANKER_SERVE_PORT'"):
        load_workspace(tmp_path, None, {"RERANKER_SERVE_PROT": "1"})
    with pytest.raises(BadSetting, match=r"serve.port is 'x' \(RERANKER_PORT\)"):
        load_workspace(tmp_path, None, {"RERANKER_PORT": "x"})


def test_the_command_prints_a_file_that_can_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.joinpath("settings.toml").write_text("[serve]\nthreads = 3\n")
    assert run(["--home", str(tmp_path), "settings"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^threads = 3  # .*settings\.toml$", shown, re.M)
    again = tmp_path / "again.toml"
    again.write_text(shown)
    assert load_workspace(tmp_path, again, {}).section(ServeSettings).threads == 3


NUMBERS = [
    (name, value)
    for name, setting in known_settings().items()
    for value in ("nan", "inf", "-inf", "1e400", f"1{'0' * 30}")
    if allowed(setting.type).startswith(("a number", "a whole number"))
]


@pytest.mark.parametrize(("name", "value"), NUMBERS)
def test_no_number_is_endless_or_none(tmp_path: Path, name: str, value: str) -> None:
    """From the environment, a file and an option alike."""
    setting = known_settings()[name]
    refused = rf"{name.replace('.', '[.]')} is .*; allowed is a (whole )?number"
    if not (value.startswith("10") and allowed(setting.type).startswith("a number")):
        with pytest.raises(BadSetting, match=refused):
            load_workspace(tmp_path, None, {setting.variable: value})
        with pytest.raises(BadSetting, match=refused):
            in_file(tmp_path, f"[{setting.section}]\n{setting.field} = {value}\n")


def test_a_text_does_not_end_early(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"serve\.host is"):
        in_file(tmp_path, '[serve]\nhost = "127.0.0.1\\u0000x"\n')
