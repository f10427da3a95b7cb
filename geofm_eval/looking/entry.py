"""Catalog entries as TOML, appended to a file of the user; existing entries are never changed."""

import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geofm_eval.catalog import load_catalog
from geofm_eval.catalog.writing import toml_comment, toml_table
from geofm_eval.errors import ContractError
from geofm_eval.looking.draft import Draft
from geofm_eval.looking.matching import EmbeddingDraft
from geofm_eval.sharing import temporary_beside
from geofm_eval.store import storing

_FIELDS = (
    "title", "reader", "root", "options", "kind", "metric", "classes", "bands", "product", "radar", "dates", "scale",
    "offset", "gsd", "pixels",
)  # fmt: skip
_ALWAYS = ("title", "reader", "root", "kind", "metric", "bands", "product")

MODEL = "vectors"
"""Beginning of the names of entries for embeddings; they have numbers of two digits, so that none contains another."""


def entries_of(draft: Draft | EmbeddingDraft, model: str = f"{MODEL}01") -> str:
    """Return the entries of a draft as TOML: the task, its random split, and the embeddings.

    Args:
        draft: the draft.
        model: name of the entry of embeddings.
    """
    if isinstance(draft, EmbeddingDraft):
        return f"{_model(draft, model)}\n"
    task = draft.task
    given = [name for name in _FIELDS if name in _ALWAYS or (name in task.model_fields_set and getattr(task, name))]
    fields = {name: getattr(task, name) for name in given}
    parts = [f"{toml_comment(draft.division).lstrip()}\n{toml_table(f'tasks.{task.slug}', fields, _comments(draft))}"]
    if draft.located:
        fields = {"like": task.slug, "variant_of": task.slug, "title": f"{task.title}, random split", "split": "random"}
        told = "# The same samples divided at random, which usually gives scores that are too good."
        parts.append(f"{told}\n{toml_table(f'tasks.{task.slug}_random', fields)}")
    if draft.embeddings is not None:
        parts.append(_model(draft.embeddings, model))
    return "\n\n".join(parts) + "\n"


def append_entries(file: Path, draft: Draft | EmbeddingDraft, name: str | None = None) -> str:
    """Append the entries of a draft to a catalog file, which is created if it does not exist.

    Args:
        file: the catalog file; a link stays a link, and its target is written.
        draft: the draft.
        name: name of the entry of embeddings; None takes the first free of ``vectors01``, ``vectors02``, ...

    Returns:
        Name of the entry of embeddings; empty without one.

    Raises:
        ContractError: the file is not a catalog, has an entry of this name, or the name cannot be distinguished from
            another; nothing is written then.
    """
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    known = _known(file, before)
    if isinstance(draft, Draft) and draft.task.slug in known.get("tasks", {}):
        raise ContractError(f"{file} already has [tasks.{draft.task.slug}]; choose another name with --name NAME")
    models = {**load_catalog().models, **known.get("models", {})}
    model = name or next(slug for count in range(1, 100) if (slug := f"{MODEL}{count:02d}") not in models)
    start = f"{before.rstrip()}\n\n" if before.strip() else ""
    _replace(file, start + entries_of(draft, model), lambda written: load_catalog([written]))
    return model if isinstance(draft, EmbeddingDraft) or draft.embeddings is not None else ""


def _replace(file: Path, text: str, check: Callable[[Path], object]) -> None:
    """Replace the text of a file, or of the file that it links to, if the new one passes a check; permissions stay."""
    target = Path(os.path.realpath(file))
    written = temporary_beside(target)
    with storing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            written.write_text(text, encoding="utf-8")
            if target.exists():
                written.chmod(stat.S_IMODE(target.stat().st_mode))
            check(written)
            os.replace(written, target)
        except ContractError as error:
            told = str(error).replace(str(written), str(file)).replace("Choose", "With --name, choose")
            raise ContractError(told) from None
        finally:
            written.unlink(missing_ok=True)


def _known(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ContractError(
            f"{file}: not a readable TOML file ({str(error)[:120]}); correct it, or name another"
        ) from None


def _model(draft: EmbeddingDraft, slug: str) -> str:
    fields = {
        "title": draft.title,
        "architecture": draft.architecture,
        "tasks": draft.tasks,
        "options": draft.options,
    }
    return toml_table(f"models.{slug}", fields)


def _comments(draft: Draft) -> dict[str, str]:
    named = [look for look in draft.looks if look.names.comment]
    found = {**draft.source.comments, "bands": "; ".join(look.told(look.names.comment) for look in named)}
    if draft.task.product == "any" and draft.task.bands:
        found["product"] = "the processing level if you know it: L1C, L2A, HLS, GRD or RTC"
    for name in ("scale", "offset"):
        found[name] = "; ".join(look.told(look.unit.reason) for look in draft.looks if name in look.unit.fields)
    return found
