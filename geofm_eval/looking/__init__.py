"""A look at own data, which gives their catalog entry: reader, bands, unit, classes, splits and the next commands."""

from geofm_eval.looking.draft import Draft, draft_entry
from geofm_eval.looking.entry import append_entries, entries_of
from geofm_eval.looking.next_steps import commands, costs
from geofm_eval.looking.slugs import free_slug
from geofm_eval.looking.sources import find_source

__all__ = ["Draft", "append_entries", "commands", "costs", "draft_entry", "entries_of", "find_source", "free_slug"]
