"""settings.py: defaults, then settings.toml, then RERANKER_* variables -> one checked Workspace."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from indexes.build.settings import RebuildSettings
from indexes.encoders.settings import EncoderSettings, ImageSettings
from indexes.errors import Failure
from indexes.items.settings import IndexSettings, ItemSettings
from indexes.quoting import nearest, nearest_or_all
from indexes.times import TimeSettings
from indexes.workspace import Settings, Workspace
from reranker.adaptation.settings import AdaptSettings
from reranker.evaluation.settings import EvaluationSettings
from reranker.events.settings import EventSettings, HistorySettings
from reranker.feedback.settings import RankingLogSettings
from reranker.model.settings import TrainSettings
from reranker.ranking.settings import RankingSettings
from service.formats.settings import FormatSettings
from service.http.settings import LimitSettings, ServeSettings
from service.live.settings import ReloadSettings
from service.observability.settings import LogSettings
from service.server.settings import AdmissionSettings
from service.setting_types import Setting, allowed, converted, setting_of

SECTIONS: Final[Mapping[str, type[Settings]]] = {
    "encoder": EncoderSettings,
    "image": ImageSettings,
    "index": IndexSettings,
    "items": ItemSettings,
    "rebuild": RebuildSettings,
    "times": TimeSettings,
    "ranking": RankingSettings,
    "rankings": RankingLogSettings,
    "events": EventSettings,
    "history": HistorySettings,
    "train": TrainSettings,
    "adapt": AdaptSettings,
    "evaluation": EvaluationSettings,
    "serve": ServeSettings,
    "admission": AdmissionSettings,
    "limits": LimitSettings,
    "formats": FormatSettings,
    "reload": ReloadSettings,
    "logs": LogSettings,
}
SHORT_NAMES: Final = {"RERANKER_HOST": "serve.host", "RERANKER_PORT": "serve.port"}
# Read elsewhere: by the command line, by jobs without a terminal, and by the tests that crash a
# rebuild on purpose.
_NOT_SETTINGS: Final = (
    "RERANKER_HOME",
    "RERANKER_SETTINGS",
    "RERANKER_PROGRESS",
    "RERANKER_CRASH_AT",
    "RERANKER_KEY",
    "RERANKER_ENGINE_AUTHORIZATION",
)
_PREFIX: Final = "RERANKER_"
_TESTS: Final = "RERANKER_TEST_"
FILE_NAME: Final = "settings.toml"

S = TypeVar("S", bound=Settings)


class BadSetting(Failure):
    """A setting that does not exist, or a value that it cannot have."""

    code = "bad_setting"


@dataclass(frozen=True)
class _Given:
    """A value that somebody set, and where."""

    value: Any
    source: str
    text: bool  # from the environment: "8" may mean the number 8


def known_settings() -> dict[str, Setting]:
    """Every setting by its name, in the order of the sections."""
    settings = (
        setting_of(section, field)
        for section, kind in SECTIONS.items()
        for field in msgspec.structs.fields(kind)
    )
    return {setting.name: setting for setting in settings}


def load_workspace(home: Path, settings_file: Path | None, environ: Mapping[str, str]) -> Workspace:
    """The home folder with its settings; BadSetting names the setting, the value and what may be.

    settings_file: instead of <home>/settings.toml; it then has to exist.
    """
    path = settings_file or home / FILE_NAME
    known = known_settings()
    given = dict(_from_file(path, known)) if settings_file or path.exists() else {}
    given |= dict(_from_environment(environ, known))
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for name, value in given.items():
        setting = known[name]
        values[setting.section][setting.field] = _checked(setting, value)
    sections = {kind: kind(**values[section]) for section, kind in SECTIONS.items()}
    return Workspace(home, sections, {name: value.source for name, value in given.items()})


def with_options(workspace: Workspace, kind: type[S], **options: Any) -> Workspace:
    """The workspace with some settings given on the command line; None means not given."""
    section = next(name for name, known_kind in SECTIONS.items() if known_kind is kind)
    known = known_settings()
    values, sources = {}, {}
    for field, value in options.items():
        if value is not None:
            option = f"--{field.replace('_', '-')}"
            setting = known[f"{section}.{field}"]
            values[field] = _checked(setting, _Given(value, option, text=False))
            sources[setting.name] = option
    changed = msgspec.structs.replace(workspace.section(kind), **values)
    return replace(
        workspace,
        sections={**workspace.sections, kind: changed},
        sources={**workspace.sources, **sources},
    )


def _from_file(path: Path, known: Mapping[str, Setting]) -> Iterator[tuple[str, _Given]]:
    for section, fields in _read(path).items():
        if section not in SECTIONS:
            near = nearest_or_all(section, SECTIONS)
            raise _unknown(f"{path}: [{section}] is no section{near}", section)
        if not isinstance(fields, dict):
            raise BadSetting(
                f"{path}: {section} = {fields!r} stands outside a section.",
                field=section,
                hint=f"Write [{section}] on one line and its settings below.",
            )
        for field, value in fields.items():
            name = f"{section}.{field}"
            if name not in known:
                near = _near(section, field, known)
                raise _unknown(f"{path}: {name} is no setting{near}", name)
            yield name, _Given(value, str(path), text=False)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSetting(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:  # broken TOML or broken UTF-8
        raise BadSetting(f"{path} is not TOML: {error}.") from None


def _from_environment(
    environ: Mapping[str, str], known: Mapping[str, Setting]
) -> Iterator[tuple[str, _Given]]:
    variables = SHORT_NAMES | {setting.variable: name for name, setting in known.items()}
    for variable in sorted(environ):
        if not variable.startswith(_PREFIX) or variable.startswith(_TESTS):
            continue
        if variable in variables:
            yield variables[variable], _Given(environ[variable], variable, text=True)
        elif variable not in _NOT_SETTINGS:
            near = _near_variable(variable, (*variables, *_NOT_SETTINGS))
            raise _unknown(f"The environment variable {variable} is no setting{near}", variable)


def _unknown(problem: str, name: str) -> BadSetting:
    return BadSetting(f"{problem}.", field=name, hint="`reranker settings` lists them all.")


def _near(section: str, field: str, known: Mapping[str, Setting]) -> str:
    """The nearest setting, or those of the section. That the section is the same says nothing."""
    same = [setting.field for setting in known.values() if setting.section == section]
    if near := nearest(field, same):
        return near.replace("'", f"'{section}.", 1)
    elsewhere = [name for name, setting in known.items() if setting.field == field]
    if elsewhere:
        return f"; the nearest is {elsewhere[0]!r}"
    return f"; [{section}] has {', '.join(same)}"


def _near_variable(variable: str, known: tuple[str, ...]) -> str:
    """The nearest variable; what all of them begin with makes none of them near."""
    ends = {name.removeprefix(_PREFIX): name for name in known}
    near = nearest(variable.removeprefix(_PREFIX), ends)
    return near.replace("'", f"'{_PREFIX}", 1)


def _checked(setting: Setting, given: _Given) -> Any:
    try:
        return converted(setting.type, given.value, text=given.text)
    except ValueError:
        raise BadSetting(
            f"{setting.name} is {given.value!r} ({given.source}); "
            f"allowed is {allowed(setting.type)}.",
            field=setting.name,
            hint=setting.help,
        ) from None
