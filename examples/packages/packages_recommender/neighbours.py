"""The other algorithm: libraries that the same packages depend on are neighbours. It has nothing to iterate.

Item-based collaborative filtering with the cosine of two libraries' columns as similarity: Sarwar, Karypis, Konstan and Riedl,
Item-Based Collaborative Filtering Recommendation Algorithms, 2001.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .settings import Settings

BATCH = 1000  # users whose scores are in memory at the same time: a megabyte or two


@dataclass
class Neighbours:
    """`similarity[a, b]` of the nearest neighbours `b` of each library `a`. Offers what the evaluation needs of an ALS."""

    similarity: sparse.csr_matrix

    @property
    def item_factors(self) -> np.ndarray:
        """None, for every library."""
        return np.empty((self.similarity.shape[0], 0), np.float32)

    def recommend(self, users: np.ndarray, weighted: sparse.csr_matrix, N: int, filter_already_liked_items: bool):
        """The N best libraries of each user, one after the other, and no scores."""
        best = []
        for start in range(0, weighted.shape[0], BATCH):
            known = weighted[start : start + BATCH]
            scores = (known @ self.similarity).tocsr()
            if filter_already_liked_items:
                scores = (scores - scores.multiply(known > 0)).tocsr()
                scores.eliminate_zeros()
            for first, end in zip(scores.indptr, scores.indptr[1:]):
                order = np.argsort(-scores.data[first:end], kind="stable")[:N]
                best.append(scores.indices[first:end][order])
        return np.concatenate(best), None


def fit(matrix: sparse.csr_matrix, settings: Settings) -> Neighbours:
    """The cosine of each two libraries, with `shrinkage` packages added to what both have: few of them prove little."""
    together = (matrix.T @ matrix).tocoo()
    popularity = np.asarray(matrix.sum(axis=0)).ravel()
    rows, columns = together.row, together.col
    cosine = together.data / (np.sqrt(popularity[rows] * popularity[columns]) + settings.shrinkage)
    cosine[rows == columns] = 0
    similarity = sparse.csr_matrix((cosine, (rows, columns)), shape=together.shape, dtype=np.float32)
    for start, end in zip(similarity.indptr, similarity.indptr[1:]):
        values = similarity.data[start:end]
        if len(values) > settings.neighbours:
            values[values < np.partition(values, -settings.neighbours)[-settings.neighbours]] = 0
    similarity.eliminate_zeros()
    similarity.sort_indices()
    return Neighbours(similarity)
