"""What is written about the layers of backbones on one task."""

from collections.abc import Iterable, Mapping
from functools import partial

from geofm_eval.catalog import Catalog
from geofm_eval.report.pages import Page, line_of
from geofm_eval.report.similarity.heatmaps import heatmap_figure
from geofm_eval.report.similarity.tables import HOW, has_control, similarity_rows, similarity_table
from geofm_eval.report.wording import heading, named
from geofm_eval.results.similarity import SimilarityTable


def similarity_page(similarity: SimilarityTable, catalog: Catalog) -> Page:
    """Table, all values, and heatmaps."""
    slug = similarity.slug
    files = [("table", f"{slug}.md"), ("LaTeX", f"{slug}.tex"), ("CSV", f"{slug}.csv")]
    files += [(f"heatmaps {name}", f"../figures/{slug}-{name}.png") for name in similarity.figures]
    return Page(
        tables=(similarity_table(similarity, catalog),),
        lines=(line_of(slug, similarity.comparison.simulated, files),),
        text=_text(similarity, catalog),
        csv={slug: partial(similarity_rows, similarity)},
        figures={f"{slug}-{name}": partial(heatmap_figure, name, similarity, catalog) for name in similarity.figures},
    )


def _text(similarity: SimilarityTable, catalog: Catalog) -> str:
    """The lowest and the highest of what matters, in a few sentences."""
    found = similarity.found
    lines = [heading(similarity.comparison, catalog, f"debiased CKA of pooled features, n = {similarity.n}", HOW)]
    if not similarity.figures:
        lines.append("  no backbone has two taps to compare")
    lines += _range("neighbouring blocks", {model: one.neighbours for model, one in found.items()})
    lines += _range("first and last block", {model: one.ends for model, one in found.items()})
    lines += _range(
        "last block and that of the random twin",
        {model: one.to_twin.get(one.blocks[-1]) for model, one in found.items() if one.blocks},
    )
    lines += _range("last blocks of two backbones, without controls", _last_blocks(similarity, catalog))
    if any(one.one_channel for one in found.values()):
        models = ", ".join(model for model, one in found.items() if one.one_channel)
        lines.append(f"  one channel decides some values of {models}")
    if similarity.absent:
        lines.append(f"  not compared with: {named(similarity.absent)}")
    return "\n".join(lines)


def _range(what: str, values: Mapping[str, float | None]) -> Iterable[str]:
    """Return ``neighbouring blocks: 0.953 (a) to 0.994 (b)``; nothing where nothing is known."""
    known = sorted((value, name) for name, value in values.items() if value is not None)
    if not known:
        return []
    ends = known[:1] if len(known) == 1 else [known[0], known[-1]]
    return [f"  {what}: {' to '.join(f'{value:.3f} ({name})' for value, name in ends)}"]


def _last_blocks(similarity: SimilarityTable, catalog: Catalog) -> dict[str, float | None]:
    found = {}
    for pair in similarity.pairs:
        taps = (pair.matrix.rows, pair.matrix.columns)
        last = [max((tap for tap in own if tap.startswith("block")), default="") for own in taps]
        if all(last) and not has_control(pair, similarity, catalog):
            found[f"{pair.model} - {pair.other}"] = pair.matrix.value(*last)
    return found
