"""Plain PyTorch loops in float64, as people write them: autograd, torch.optim, and nothing of this library."""

import torch


STEPS = 200
torch.set_num_threads(1)

OPTIMISERS = {
    "gd": (lambda p: torch.optim.SGD(p, lr=0.5), {"rate": 0.5}),
    "gd:momentum=0.9": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), {"rate": 0.1}),
    "gd:momentum=0.9,nesterov=true": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), {"rate": 0.1}),
    "gd:momentum=0.8": (
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, weight_decay=0.01),
        {"rate": 0.1, "decay": "l2:0.01"},
    ),
    "adam": (lambda p: torch.optim.Adam(p, lr=0.01), {"rate": 0.01}),
    "adam:b1=0.8,b2=0.95,eps=0.0": (lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.8, 0.95), eps=0.0), {"rate": 0.02}),
    "adam:eps=0.001": (
        lambda p: torch.optim.AdamW(p, lr=0.02, eps=1e-3, weight_decay=0.1),
        {"rate": 0.02, "decay": "decoupled:0.1"},
    ),
    "muon": (lambda p: torch.optim.Muon(p, lr=0.02, weight_decay=0.0), {"rate": 0.02}),
    "muon:nesterov=false": (
        lambda p: torch.optim.Muon(p, lr=0.02, nesterov=False, weight_decay=0.1),
        {"rate": 0.02, "decay": "decoupled:0.1"},
    ),
}
"""Our word: theirs, and our options."""


def exactly(monkeypatch):
    """torch's Muon without its cast to bfloat16."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())


def weights(arrays):
    """W of named arrays, as tensors."""
    if "K" in arrays:
        return arrays["K"] @ arrays["Q"].T
    if "W" in arrays:
        return arrays["W"]
    return torch.diag(arrays["k"] * arrays["q"] if "k" in arrays else arrays["beta"])


def trained(problem, start, make, steps=STEPS):
    """The arrays after each step of a plain loop on the mean exponential loss of y v'X softmax(X W z)."""
    X, z, scores = (torch.tensor(a) for a in (problem.X, problem.z, problem.scores))
    mask = torch.tensor(problem.mask)
    arrays = {n: torch.tensor(a, requires_grad=True) for n, a in start.items()}
    optimiser = make(list(arrays.values()))
    seen = []
    for _ in range(steps):
        optimiser.zero_grad()
        logits = torch.einsum("itd,de,ie->it", X, weights(arrays), z).masked_fill(~mask, -torch.inf)
        output = (torch.softmax(logits, dim=1) * scores).sum(dim=1)
        torch.exp(-output).mean().backward()
        optimiser.step()
        seen.append({n: a.detach().numpy().copy() for n, a in arrays.items()})
    return seen
