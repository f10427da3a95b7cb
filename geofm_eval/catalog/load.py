"""Read the catalog: the package's TOML files and the user's own; messages name file, entry and field."""

import difflib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from geofm_eval.catalog.specs import Adaptation, ModelSpec, Recipe, Spec, TaskSpec
from geofm_eval.errors import ContractError

HERE = Path(__file__).parent
SECTIONS: dict[str, type[Spec]] = {
    "models": ModelSpec,
    "tasks": TaskSpec,
    "recipes": Recipe,
    "adaptations": Adaptation,
}
T = TypeVar("T")


@dataclass(frozen=True)
class Catalog:
    """All known models (with their random twins), tasks, recipes and adaptations, by slug."""

    models: dict[str, ModelSpec]
    tasks: dict[str, TaskSpec]
    recipes: dict[str, Recipe]
    adaptations: dict[str, Adaptation]

    def model(self, slug: str) -> ModelSpec:
        """Model by slug; ContractError with the nearest names when unknown."""
        return _lookup(self.models, slug, "model")

    def task(self, slug: str) -> TaskSpec:
        """Task by slug; ContractError with the nearest names when unknown."""
        return _lookup(self.tasks, slug, "task")

    def recipe(self, slug: str) -> Recipe:
        """Recipe by slug; ContractError with the nearest names when unknown."""
        return _lookup(self.recipes, slug, "recipe")

    def adaptation(self, slug: str) -> Adaptation:
        """Adaptation by slug; ContractError with the nearest names when unknown."""
        return _lookup(self.adaptations, slug, "adaptation")


def load_catalog(extra: Sequence[Path] = ()) -> Catalog:
    """Load the package's catalog and the user's own files.

    Args:
        extra: TOML files with ``[models.<slug>]``, ``[tasks.<slug>]``, ``[recipes.<slug>]`` tables. A slug that
            exists already is refused: a published entry is never edited from outside.

    Raises:
        ContractError: a file that is absent or no TOML, an unknown section, an invalid entry, a slug twice.
    """
    entries: dict[str, dict[str, Spec]] = {name: {} for name in SECTIONS}
    for file in (HERE / "models.toml", HERE / "tasks.toml", *extra):
        for section, specs in _read(Path(file)).items():
            for slug, spec in specs.items():
                if slug in entries[section]:
                    raise ContractError(
                        f"{file}: [{section}.{slug}] exists already in the catalog: choose another name, "
                        f"such as {slug}_mine with variant_of = '{slug}'"
                    )
                entries[section][slug] = spec
    models = {slug: _as(ModelSpec, spec) for slug, spec in entries["models"].items()}
    return Catalog(
        models=_with_twins(models),
        tasks={slug: _as(TaskSpec, spec) for slug, spec in entries["tasks"].items()},
        recipes={slug: _as(Recipe, spec) for slug, spec in entries["recipes"].items()},
        adaptations={slug: _as(Adaptation, spec) for slug, spec in entries["adaptations"].items()},
    )


def _read(file: Path) -> dict[str, dict[str, Spec]]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ContractError(f"{file}: catalog file does not exist: check the path given with --catalog") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ContractError(f"{file}: not a readable TOML file: {error}") from None
    result: dict[str, dict[str, Spec]] = {}
    for section, table in content.items():
        if section not in SECTIONS or not isinstance(table, dict):
            raise ContractError(f"{file}: section '{section}' is unknown; known sections: {', '.join(SECTIONS)}")
        result[section] = {slug: _entry(file, section, slug, fields) for slug, fields in table.items()}
    return result


def _entry(file: Path, section: str, slug: str, fields: Any) -> Spec:
    where = f"{file}: [{section}.{slug}]"
    if not isinstance(fields, dict):
        raise ContractError(f"{where} must be a table, found {type(fields).__name__}")
    try:
        return SECTIONS[section].model_validate({"slug": slug, **_with_file_folder(file, fields)})
    except ValidationError as error:
        problems = "; ".join(_problem(p) for p in error.errors())
        raise ContractError(f"{where}: {problems}") from None


def _problem(error: Any) -> str:
    field = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if not field:
        return message
    found = "" if error["type"] == "missing" else f" (found {error['input']!r})"
    return f"field '{field}': {message}{found}"


def _with_file_folder(file: Path, fields: dict[str, Any]) -> dict[str, Any]:
    """A user's ``architecture = "backbone.py:build"`` is relative to the catalog file that names it."""
    architecture = fields.get("architecture")
    if not isinstance(architecture, str) or ".py:" not in architecture:
        return fields
    path, _, function = architecture.rpartition(":")
    return {**fields, "architecture": f"{(file.parent / path).resolve()}:{function}"}


def _with_twins(models: dict[str, ModelSpec]) -> dict[str, ModelSpec]:
    """Add ``<slug>_random`` after every model with weights: same architecture, randomly initialised, a control."""
    result: dict[str, ModelSpec] = {}
    for slug, model in models.items():
        result[slug] = model
        if model.weights is None:
            continue
        if f"{slug}_random" in models:
            raise ContractError(
                f"[models.{slug}_random] is the name of the random twin of '{slug}', which exists by itself: "
                "choose another name"
            )
        result[f"{slug}_random"] = model.model_copy(
            update={
                "slug": f"{slug}_random",
                "title": f"{model.title}, random weights",
                "family": "control",
                "weights": None,
                "random_seed": 0,
                "suites": model.twin_suites or model.suites,
                "variant_of": slug,
            }
        )
    return result


def _lookup(table: dict[str, T], slug: str, what: str) -> T:
    if slug in table:
        return table[slug]
    near = difflib.get_close_matches(slug, table, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(table)}"
    raise ContractError(f"{what} '{slug}' is unknown; {hint}")


def _as(kind: type[T], spec: object) -> T:
    assert isinstance(spec, kind)
    return spec


def check_slugs(slugs: Iterable[tuple[str, str | None]]) -> list[str]:
    """Problems with slugs: a base slug that contains another, a variant that does not start with its base.

    Args:
        slugs: (slug, variant_of) pairs over models, tasks, adaptations, layers and test names together.
    """
    pairs = list(slugs)
    bases = [slug for slug, variant_of in pairs if variant_of is None]
    problems = [f"'{a}' contains '{b}'" for a in bases for b in bases if a != b and b in a]
    problems += [f"'{s}' is no variant of '{v}'" for s, v in pairs if v is not None and not s.startswith(f"{v}_")]
    return problems
