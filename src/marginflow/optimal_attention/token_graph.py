"""Which label should come before which token, query by query: the token-priority graph (arXiv 2403.08081)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Ints
from marginflow.optimal_attention.distinct import Row
from marginflow.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class TokenGraph:
    """Nodes are pairs (query and head, token vector); a row has an edge from its label to each of its other tokens.

    Attributes:
        node: for each row, the (t,) nodes of its distinct tokens.
        label: (n,) the node of the row's label.
        component: (nodes,) the strongly connected component of each node.
        place: (nodes, 2) a row and a token of it at which the node's query and vector stand.
    """

    node: list[Ints]
    label: Ints
    component: Ints
    place: Ints

    @classmethod
    def of(cls, problem: Problem, rows: Sequence[Row], best: Ints) -> "TokenGraph":
        """That of `problem` with the optimal kinds `best` (n,) of its distinct tokens."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        asked = np.column_stack([problem.z + 0.0, problem.head])
        query = np.ravel(np.unique(asked, axis=0, return_inverse=True)[1])
        tokens = np.concatenate([problem.X[i, row.tokens] for i, row in enumerate(rows)]) + 0.0
        vector = np.ravel(np.unique(tokens, axis=0, return_inverse=True)[1])
        sizes = [len(row.tokens) for row in rows]
        pairs = np.column_stack([np.repeat(query, sizes), vector])
        _, first, inverse = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
        node = np.split(np.ravel(inverse), np.cumsum(sizes)[:-1])
        label = np.array([nodes[b] for nodes, b in zip(node, best, strict=True)])
        start, end = np.repeat(label, sizes), np.concatenate(node)
        graph = coo_array((np.ones(len(start)), (start, end)), shape=(len(first), len(first)))
        component = connected_components(graph, directed=True, connection="strong")[1].astype(np.intp)
        row_of = np.repeat(np.arange(problem.n), sizes)
        token_of = np.concatenate([row.tokens for row in rows])
        return cls(node, label, component, np.column_stack([row_of[first], token_of[first]]))
