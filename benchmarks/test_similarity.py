"""Similarity of the layers of a frozen backbone to each other and to those of others: laws that hold for real ones.

- 1e-6: of weights loaded anew at most rounding differs, and CKA sees its square.
- 1e-4 of the largest feature: on a CPU features were the same to the last bit in batches of 7, 16 and 64. A GPU may add
  up in another order for another batch size, which float32 shows in the sixth digit.
- Neighbours: a network with random weights hardly changes its features from block to block, hence a thousandth of
  tolerance.
"""


def test_similarity(similarity):
    found = similarity.record.similarity
    assert 1 - found.reloaded < 1e-6, f"weights loaded anew give other features: lowest CKA {found.reloaded}"
    assert found.batches < 1e-4, f"features depend on the batch size: by {found.batches:.1g} of the largest one"
    near, far = found.neighbours, found.ends
    assert near is None or far is None or near > far - 1e-3, f"mean CKA of neighbours {near}, first to last block {far}"
    same = {block: value for block, value in found.to_twin.items() if value >= 1 - 1e-3}
    assert not same, f"blocks like those of the random twin {found.twin}, as if nothing had been learnt: {same}"
