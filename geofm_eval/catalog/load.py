"""Read the catalog: TOML files of the package and of the user; messages name file, entry and field."""

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from geofm_eval.catalog.bands import canonical
from geofm_eval.catalog.base import Spec
from geofm_eval.catalog.embeddings import PIXELS, TABLE, with_paths
from geofm_eval.catalog.models import ModelSpec
from geofm_eval.catalog.recipes import Adaptation, Recipe
from geofm_eval.catalog.tasks import TaskSpec
from geofm_eval.catalog.toml_files import read_toml, short
from geofm_eval.errors import ContractError
from geofm_eval.paths import escape
from geofm_eval.plurals import counted

HERE = Path(__file__).parent
SECTIONS: dict[str, type[Spec]] = {
    "models": ModelSpec,
    "tasks": TaskSpec,
    "recipes": Recipe,
    "adaptations": Adaptation,
}
RGB = ("B04", "B03", "B02")
NAMES = ("embed", "block00", "stage00", "final", "probe", "throughput", "segment", "tune", "drift", "similarity")
"""Parts of case names that are not in the files: layers (``block00`` stands for all blocks) and tests."""

ROOM = 380
"""Maximum length of the part of a message that reports what was found, without the path of the file."""

T = TypeVar("T")
Tables = dict[str, dict[str, Any]]
"""Entries read so far, or their fields, by section and slug."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """All known models (with their random twins and RGB-only variants), tasks, recipes and adaptations, by slug.

    A catalog equals itself alone, so that results can be kept by catalog.
    """

    models: dict[str, ModelSpec]
    tasks: dict[str, TaskSpec]
    recipes: dict[str, Recipe]
    adaptations: dict[str, Adaptation]

    def __repr__(self) -> str:
        return f"Catalog({counted(len(self.models), 'model')}, {counted(len(self.tasks), 'task')})"

    def model(self, slug: str) -> ModelSpec:
        """Return a model by slug; ContractError with the most similar names if it is unknown."""
        return _lookup(self.models, slug, "model")

    def task(self, slug: str) -> TaskSpec:
        """Return a task by slug; ContractError with the most similar names if it is unknown."""
        return _lookup(self.tasks, slug, "task")

    def recipe(self, slug: str) -> Recipe:
        """Return a recipe by slug; ContractError with the most similar names if it is unknown."""
        return _lookup(self.recipes, slug, "recipe")

    def adaptation(self, slug: str) -> Adaptation:
        """Return an adaptation by slug; ContractError with the most similar names if it is unknown."""
        return _lookup(self.adaptations, slug, "adaptation")


def load_catalog(extra: Sequence[Path] = ()) -> Catalog:
    """Load the package's catalog and the user's own files.

    Args:
        extra: TOML files with ``[models.<slug>]``, ``[tasks.<slug>]``, ``[recipes.<slug>]`` tables. They cannot replace
            existing entries. An entry with ``like = "<slug>"`` takes the fields that it does not have from that
            earlier entry.

    Raises:
        ContractError: a file is missing or not TOML, a section is unknown, an entry is invalid, or a slug exists
            already or cannot be distinguished from another by pytest's ``-k``.
    """
    entries, raw = (_copied(tables) for tables in _packaged())
    for file in extra:
        _add(Path(file), entries, raw)
    catalog = Catalog(**{**entries, "models": _with_variants(entries["models"])})
    for model in catalog.models.values():
        _check_tasks(model, catalog)
    if extra:
        _refuse_ambiguous(catalog, extra)
    return catalog


@cache
def _packaged() -> tuple[Tables, Tables]:
    """Read the package's files once per process: validated entries, and their fields; callers must not change them."""
    entries: Tables = {name: {} for name in SECTIONS}
    raw: Tables = {}
    for name in ("models.toml", "tasks.toml"):
        _add(HERE / name, entries, raw)
    return entries, raw


def _copied(tables: Tables) -> Tables:
    return {section: dict(table) for section, table in tables.items()}


def _add(file: Path, entries: Tables, raw: Tables) -> None:
    """Add the entries of one file, and their fields, to those of earlier files."""
    for section, specs in _read(file, raw).items():
        for slug, spec in specs.items():
            if slug in entries[section]:
                name = short(slug)
                raise ContractError(
                    f"{file}: [{section}.{name}] already exists in the catalog: choose another name, "
                    f"for example {name}_mine with variant_of = '{name}'"
                )
            entries[section][slug] = spec


def _check_tasks(model: ModelSpec, catalog: Catalog) -> None:
    """Reject tasks of an entry that do not exist, or that its embeddings cannot have rows for."""
    for slug in model.tasks:
        try:
            task = catalog.task(slug)
        except ContractError as error:
            raise ContractError(f"[models.{short(model.slug)}] tasks: {error}") from None
        if model.precomputed and task.dense:
            raise ContractError(
                f"[models.{short(model.slug)}] tasks: '{slug}' has one label per pixel, but the embeddings have one "
                "row per sample. Name a task with one label per sample, or read maps of embeddings as the images of a "
                "task with architecture = 'pixels'"
            )


def _refuse_ambiguous(catalog: Catalog, files: Sequence[Path]) -> None:
    tables = (catalog.models, catalog.tasks, catalog.adaptations)
    named = {(spec.slug, spec.variant_of) for table in tables for spec in table.values()}
    kinds = dict.fromkeys(NAMES, "a layer or test")
    kinds |= {slug: "a model" for slug in catalog.models} | {slug: "a task" for slug in catalog.tasks}
    kinds |= {slug: "an adaptation" for slug in catalog.adaptations}
    problems = check_slugs([*sorted(named, key=str), *((name, None) for name in NAMES)], kinds)
    if problems:
        where = ", ".join(str(file) for file in files)
        # An entry cannot be a variant of another kind of entry; only another name helps then.
        variant = ", or make the entry a variant: variant_of = 'base', and a name that begins with base_"
        cure = "" if all(problem.endswith(")") for problem in problems) else variant
        what = "names that pytest's -k cannot distinguish: "
        raise ContractError(
            f"{where}: {what}{_fitting(problems, '; ', len(what + cure) + 25)}. Choose another name{cure}"
        )


def _read(file: Path, raw: Tables) -> dict[str, dict[str, Spec]]:
    """Read one file; its fields are added to those of earlier files, for ``like``."""
    result: dict[str, dict[str, Spec]] = {}
    for section, table in read_toml(file).items():
        if section not in SECTIONS or not isinstance(table, dict):
            raise ContractError(f"{file}: section '{short(section)}' is unknown; known sections: {', '.join(SECTIONS)}")
        entries = raw.setdefault(section, {})
        for slug, fields in table.items():
            found = _resolved(file, section, slug, fields, entries)
            result.setdefault(section, {})[slug] = _entry(file, section, slug, found)
            entries.setdefault(slug, found)
    return result


def _resolved(file: Path, section: str, slug: str, fields: Any, entries: dict[str, Any]) -> Any:
    """Merge the fields of an entry over those of the entry that ``like`` names."""
    if not isinstance(fields, dict) or "like" not in fields:
        return fields
    if not isinstance(fields["like"], str) or fields["like"] not in entries:
        known = difflib.get_close_matches(str(fields["like"])[:80], entries, n=3) or list(entries)
        what = f"[{section}.{short(slug)}] like = {short(repr(fields['like']))} is not an earlier entry; known: "
        raise ContractError(f"{file}: {what}{_fitting(known, ', ', len(what))}")
    own = {name: value for name, value in fields.items() if name != "like"}
    return {**entries[fields["like"]], **own}


def _entry(file: Path, section: str, slug: str, fields: Any) -> Spec:
    where = f"[{section}.{short(slug)}]"
    if not isinstance(fields, dict):
        raise ContractError(f"{file}: {where} must be a table, found {type(fields).__name__}")
    kind = SECTIONS[section]
    try:
        return kind.model_validate({"slug": slug, **_with_file_folder(file, fields)})
    except ValidationError as error:
        problems = _fitting([_problem(one, kind) for one in error.errors()], "; ", len(where))
        raise ContractError(f"{file}: {where}: {problems}") from None


def _problem(error: Any, kind: type[Spec]) -> str:
    field = short(".".join(str(part) for part in error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"field '{field}' is unknown; {_meant(error['loc'], kind)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    if not field:
        return short(message, 280)
    found = "" if error["type"] == "missing" else f" (found {short(repr(error['input']))})"
    return f"field '{field}': {short(message, 280 - len(field + found))}{found}"


def _meant(place: Sequence[object], kind: type[BaseModel]) -> str:
    """The fields that an unknown one may stand for."""
    for part in place[:-1]:
        known = kind.model_fields.get(str(part))
        choices = [] if known is None else [known.annotation, *get_args(known.annotation)]
        nested = [one for one in choices if isinstance(one, type) and issubclass(one, BaseModel)]
        if not nested:
            return "remove it"
        kind = nested[0]
    names = [name for name in kind.model_fields if name != "slug"]
    near = difflib.get_close_matches(str(place[-1])[:80], names, n=2)
    return f"did you mean {' or '.join(near)}?" if near else "remove it"


def _fitting(texts: Sequence[str], separator: str, used: int) -> str:
    """Join as many texts as fit into a message that holds ``used`` other characters, and count the rest."""
    shown = 1
    while shown < len(texts) and len(separator.join(texts[: shown + 1])) + used + 20 <= ROOM:
        shown += 1
    more = f"{separator}and {len(texts) - shown} more" if shown < len(texts) else ""
    return short(separator.join(texts[:shown]), ROOM - 20 - used) + more


def _with_file_folder(file: Path, fields: dict[str, Any]) -> dict[str, Any]:
    """Make the files of a user's own code (``architecture`` or ``reader`` ``= "file.py:function"``) absolute.

    They are relative to the catalog file; if that is a link, to the link if the file exists there, else to its target.
    Files of embeddings are too, if they exist there; else they stay relative to ``GEOFM_HOME``.
    """
    found = {name: fields[name] for name in ("architecture", "reader") if ".py:" in str(fields.get(name, ""))}
    moved = {**fields, **{name: _absolute(file, str(value)) for name, value in found.items()}}
    if moved.get("architecture") in (TABLE, PIXELS) and isinstance(moved.get("options"), dict):
        moved["options"] = with_paths(moved["options"], lambda name: _near(file, name))
    return moved


def _absolute(file: Path, code: str) -> str:
    path, _, function = code.rpartition(":")
    near, target = _places(file, path)
    return f"{near if os.path.exists(near) else target}:{function}"


def _near(file: Path, name: str) -> str:
    """Absolute path of a file near the catalog file; the name unchanged if there is none."""
    if escape(name) is not None:
        return name
    return next((str(path) for path in _places(file, name) if os.path.exists(path)), name)


def _places(file: Path, path: str) -> tuple[Path, Path]:
    near, target = (Path(os.path.abspath(folder / path)) for folder in (file.parent, file.resolve().parent))
    return near, target


def _with_variants(models: dict[str, ModelSpec]) -> dict[str, ModelSpec]:
    """Add ``<slug>_random`` after every model with weights, and ``<slug>_rgb`` if bands may be missing.

    An entry ``<slug>_rgb`` in the catalog replaces the one made here: a model may have its own patch embedding for RGB.
    """
    result: dict[str, ModelSpec] = {}
    for slug, model in models.items():
        variants = [_random_twin(model)] if model.weights is not None and model.twin is None else []
        variants += [_rgb_only(model)] if _can_read_rgb_alone(model) else []
        for variant in variants:
            own = models.get(variant.slug)
            if own is not None and own.rgb_only and variant.rgb_only:
                continue
            if own is not None:
                what = "random twin" if variant.is_control else "RGB-only variant"
                raise ContractError(
                    f"[models.{variant.slug}] is the name of the {what} of '{slug}', which is created automatically: "
                    "choose another name"
                )
        result |= {model.slug: model, **{v.slug: v for v in variants if v.slug not in models}}
    return result


def _random_twin(model: ModelSpec) -> ModelSpec:
    return model.model_copy(
        update={
            "slug": f"{model.slug}_random",
            "title": f"{model.title}, random weights",
            "family": "control",
            "weights": None,
            "random_seed": 0,
            "provenance": "verified",
            "provenance_reason": "",
            "variant_of": model.slug,
        }
    )


def _can_read_rgb_alone(model: ModelSpec) -> bool:
    bands = {canonical(name) for name in model.bands}
    return not (
        model.is_control or model.simulated_pretraining or model.reads or model.missing == "refuse"
    ) and bands > set(RGB)


def _rgb_only(model: ModelSpec) -> ModelSpec:
    """Same weights, red, green and blue only, to compare with models that were made for RGB."""
    update = {
        "slug": f"{model.slug}_rgb",
        "title": f"{model.title}, RGB only",
        "reads": RGB,
        "suites": ("extended",),
        "variant_of": model.slug,
    }
    return model.model_copy(update=update)


def _lookup(table: dict[str, T], slug: str, what: str) -> T:
    if slug in table:
        return table[slug]
    near = difflib.get_close_matches(slug[:80], table, n=3)
    found = f"{what} '{short(slug)}' is unknown; "
    if near:
        raise ContractError(f"{found}did you mean {', '.join(near)}? Correct the name")
    cure = "; choose one of them"
    raise ContractError(f"{found}known: {_fitting(list(table), ', ', len(found + cure) + 7)}{cure}")


def check_slugs(slugs: Iterable[tuple[str, str | None]], kinds: Mapping[str, str] | None = None) -> list[str]:
    """Return problems with slugs: a base slug that contains another, a variant that does not begin with its base.

    Args:
        slugs: (slug, variant_of) pairs of models, tasks, adaptations, layers and test names together.
        kinds: what a slug names, for example ``a model``; a problem between two kinds ends with both in brackets.
    """
    pairs, known = list(slugs), kinds or {}
    bases = [slug for slug, variant_of in pairs if variant_of is None]

    def differ(a: str, b: str) -> str:
        own, other = known.get(a), known.get(b)
        return f" ({own} and {other})" if own != other else ""

    problems = [f"'{a}' contains '{b}'{differ(a, b)}" for a in bases for b in bases if a != b and b in a]
    problems += [
        f"'{s}' does not begin with '{v}_', although it is a variant of it"
        for s, v in pairs
        if v is not None and not s.startswith(f"{v}_")
    ]
    return problems
