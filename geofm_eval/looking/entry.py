"""Catalog entries as TOML, appended to a file of the user; existing entries are never changed."""

import json
import os
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geofm_eval.catalog import load_catalog
from geofm_eval.errors import ContractError
from geofm_eval.looking.draft import Draft
from geofm_eval.store import storing

_FIELDS = (
    "title", "reader", "root", "options", "kind", "metric", "classes", "bands", "product", "scale", "offset", "gsd",
    "pixels",
)  # fmt: skip
_ALWAYS = ("title", "reader", "root", "kind", "metric", "bands", "product")

MODEL = "vectors"
"""Beginning of the names of entries for embeddings; they have numbers of two digits, so that none contains another."""


def entries_of(draft: Draft, number: int = 1) -> str:
    """Return the entries of a draft as TOML: the task, its random split, and the embeddings of its table.

    Args:
        draft: the draft.
        number: number in the name of the entry of embeddings.
    """
    task = draft.task
    comments = _comments(draft)
    given = [name for name in _FIELDS if name in _ALWAYS or (name in task.model_fields_set and getattr(task, name))]
    lines = [f"# {_plain(draft.division)}", f"[tasks.{task.slug}]"]
    for name in given:
        comment = comments.get(name)
        lines.append(f"{name} = {_value(getattr(task, name))}{f'  # {_plain(comment)}' if comment else ''}")
    if draft.located:
        lines += ["", "# The same samples divided at random, which usually gives scores that are too good."]
        fields = {"like": task.slug, "variant_of": task.slug, "title": f"{task.title}, random split", "split": "random"}
        lines += [f"[tasks.{task.slug}_random]", *(f"{name} = {_value(value)}" for name, value in fields.items())]
    return "\n".join([*lines, *_model(draft, number), ""])


def append_entries(file: Path, draft: Draft) -> str:
    """Append the entries of a draft to a catalog file, which is created if it does not exist.

    Returns:
        Name of the entry for embeddings; empty without one.

    Raises:
        ContractError: the file is not a catalog, has an entry of this name, or the name cannot be distinguished from
            another; nothing is written then.
    """
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    known = _known(file, before)
    if draft.task.slug in known.get("tasks", {}):
        raise ContractError(f"{file} already has [tasks.{draft.task.slug}]; choose another name with --name NAME")
    models = {**load_catalog().models, **known.get("models", {})}
    number = next(count for count in range(1, 100) if f"{MODEL}{count:02d}" not in models)
    after = f"{before.rstrip()}\n\n" if before.strip() else ""
    with storing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, suffix=".toml")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(after + entries_of(draft, number))
            load_catalog([Path(name)])
            os.replace(name, file)
        except ContractError as error:
            raise ContractError(str(error).replace(name, str(file)).replace("Choose", "With --name, choose")) from None
        finally:
            Path(name).unlink(missing_ok=True)
    return f"{MODEL}{number:02d}" if draft.source.embedding else ""


def _known(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ContractError(
            f"{file}: not a readable TOML file ({str(error)[:120]}); correct it, or name another"
        ) from None


def _model(draft: Draft, number: int) -> list[str]:
    if not draft.source.embedding:
        return []
    fields = {
        "title": f"Embeddings of {draft.task.title}",
        "architecture": "table",
        "tasks": [draft.task.slug, *([f"{draft.task.slug}_random"] if draft.located else [])],
        "options": dict(draft.source.embedding),
    }
    return ["", f"[models.{MODEL}{number:02d}]", *(f"{name} = {_value(value)}" for name, value in fields.items())]


def _comments(draft: Draft) -> dict[str, str]:
    found = {**draft.source.comments, "bands": draft.names.comment}
    if draft.task.product == "any" and draft.task.bands:
        found["product"] = "the processing level if you know it: L1C, L2A, HLS, GRD or RTC"
    for name in draft.unit.fields:
        found[name] = draft.unit.reason
    return found


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(name)} = {_value(one)}' for name, one in value.items())} }}"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(comment: str) -> str:
    """A comment on one line: descriptions in files may contain anything."""
    return "".join(character if character.isprintable() else " " for character in comment)
