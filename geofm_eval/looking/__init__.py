"""A look at own data, which gives their catalog entry: reader, bands, unit, classes, splits and the next commands."""

from geofm_eval.looking.choice import draft_own
from geofm_eval.looking.draft import Draft, draft_entry
from geofm_eval.looking.entry import append_entries, entries_of
from geofm_eval.looking.matching import EmbeddingDraft
from geofm_eval.looking.next_steps import OPERATIONS_PER_SECOND, commands, costs
from geofm_eval.looking.slugs import free_slug
from geofm_eval.looking.sources import find_source

__all__ = [
    "OPERATIONS_PER_SECOND",
    "Draft",
    "EmbeddingDraft",
    "append_entries",
    "commands",
    "costs",
    "draft_entry",
    "draft_own",
    "entries_of",
    "find_source",
    "free_slug",
]
