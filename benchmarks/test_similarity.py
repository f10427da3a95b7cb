"""Similarity of the layers of a frozen backbone to each other and to those of other backbones.

Tolerances:

- 1e-6: reloaded weights differ by rounding at most, and CKA depends on its square.
- 1e-4 of the largest feature: on a CPU, features were bit-identical in batches of 7, 16 and 64. A GPU may sum in
  another order for another batch size, which changes the sixth digit of float32.
- 1e-3 for neighbours: features of a network with random weights hardly change from block to block.
"""


def test_similarity(similarity):
    found = similarity.record.similarity
    assert 1 - found.reloaded < 1e-6, f"reloaded weights give other features: lowest CKA {found.reloaded}"
    assert found.batches < 1e-4, f"features depend on the batch size: by {found.batches:.1g} of the largest one"
    near, far = found.neighbours, found.ends
    assert near is None or far is None or near > far - 1e-3, f"mean CKA of neighbours {near}, first to last block {far}"
    same = {block: value for block, value in found.to_twin.items() if value >= 1 - 1e-3}
    assert not same, f"blocks equal those of the random twin {found.twin}, as if untrained: {same}"
