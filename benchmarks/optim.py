"""Seed-iterations per second of `descend_many` beside a plain PyTorch loop on the same problem, in one run.

    python benchmarks/optim.py [--iterations 300] [--seeds 30]

(6, 8, 10), keys and queries of width 10, one BLAS thread, CPU time. The PyTorch loop (where torch is installed) trains
all seeds as one batch in float64 by autograd; it ends where float64's softmax is one-hot, near margin 37.
"""

import argparse
import time

import numpy as np

import marginflow as mf


CASES = {
    "gd": ("gd", {"rate": 1.0}),
    "sign": ("sign", {"rate": 0.01}),
    "adam": ("adam:b2=0.95,eps=0.0", {"rate": 0.01}),
    "spectral": ("spectral", {"rate": 0.01}),
    "muon": ("muon", {"rate": 0.01}),
}


def ours(problem, word, options, seeds, iterations):
    began = time.process_time()
    paths = mf.descend_many(problem, mf.KeyQuery(10), word, seeds=range(seeds), iterations=iterations, **options)
    took = time.process_time() - began
    assert all(path.steps == iterations for path in paths)
    return seeds * iterations / took, np.median([path.margin[-1] for path in paths])


def torchs(problem, case, options, seeds, iterations):
    import torch

    torch.set_num_threads(1)
    X, z, scores = (torch.tensor(a) for a in (problem.X, problem.z, problem.scores))
    draws = [mf.KeyQuery(10).draw(10, 10, np.random.default_rng(s), 0.1) for s in range(seeds)]
    K, Q = (torch.tensor(np.stack([d[n] for d in draws]), requires_grad=True) for n in ("K", "Q"))
    lr = options["rate"]
    made = {
        "gd": lambda: torch.optim.SGD([K, Q], lr=lr),
        "adam": lambda: torch.optim.Adam([K, Q], lr=lr, betas=(0.9, 0.95), eps=0.0),
    }
    optimiser = made[case]() if case in made else None
    began = time.process_time()
    for _ in range(iterations):
        logits = torch.einsum("itd,bdm,bem,ie->bit", X, K, Q, z)
        loss = torch.exp(-(torch.softmax(logits, dim=2) * scores).sum(dim=2)).mean(dim=1).sum()
        gradients = torch.autograd.grad(loss, (K, Q))
        with torch.no_grad():
            if optimiser is not None:
                K.grad, Q.grad = gradients
                optimiser.step()
            else:
                for x, g in zip((K, Q), gradients, strict=True):
                    if case == "sign":
                        x -= lr * g.sign()
                    else:
                        U, _, V = torch.linalg.svd(g, full_matrices=False)
                        x -= lr * (U @ V)
    return seeds * iterations / (time.process_time() - began)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=30)
    given = parser.parse_args()
    problem = mf.load("equal:n=6,T=8,d=10,seed=3")
    ours(problem, "gd", {"rate": 1.0}, 2, 2)  # imports
    print(f"{'rule':10} {'seed-iterations/s':>18} {'PyTorch':>12} {'ratio':>7} {'margin':>9}")
    for case, (word, options) in CASES.items():
        mine, margin = ours(problem, word, options, given.seeds, given.iterations)
        try:
            theirs = torchs(problem, case, options, given.seeds, given.iterations) if case != "muon" else float("nan")
        except ImportError:
            theirs = float("nan")
        print(f"{case:10} {mine:18,.0f} {theirs:12,.0f} {mine / theirs:7.2f} {margin:9.3g}")


if __name__ == "__main__":
    main()
