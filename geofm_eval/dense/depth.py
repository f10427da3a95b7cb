"""Which blocks a decoder reads: named for twelve blocks, scaled in proportion for other depths."""

from collections.abc import Sequence

from geofm_eval.errors import ContractError

STANDARD_DEPTH = 12

FOUR_BLOCKS = (3, 5, 7, 11)
"""Blocks that decoders with four feature maps read (PANGAEA, arXiv 2412.04204)."""


def scaled_block(block: int, depth: int) -> int:
    """The block of a backbone of ``depth`` blocks that lies as deep as ``block`` does among twelve.

    Raises:
        ContractError: no such block among twelve, or a backbone without blocks.
    """
    if not 0 <= block < STANDARD_DEPTH:
        raise ContractError(f"block {block} is none of 0 to {STANDARD_DEPTH - 1}")
    if depth < 1:
        raise ContractError("this backbone has no blocks: read its tap 'final' alone")
    return max(round((block + 1) * depth / STANDARD_DEPTH), 1) - 1


def block_taps(blocks: Sequence[int], depth: int) -> tuple[str, ...]:
    """Names of the taps of some blocks, given for twelve blocks, in a backbone of ``depth`` blocks.

    Raises:
        ContractError: more blocks than the backbone has, or what :func:`scaled_block` refuses.
    """
    found = tuple(f"block{scaled_block(block, depth):02d}" for block in blocks)
    if len(set(found)) < len(set(blocks)):
        raise ContractError(
            f"blocks {', '.join(map(str, blocks))} of {STANDARD_DEPTH} are {', '.join(found)} of a backbone with "
            f"{depth} blocks: it has too few; read fewer blocks"
        )
    return found
