"""Three real trainings, watched: the run is the run, what it costs, and what the record is worth.

    python benchmarks/watch.py [paper gpt vit] [--steps 5000] [--save DIR]

Needs torch (`make test-torch` makes .venv-torch). Overhead: CPU seconds inside the watch over those of the rest.
"""

import argparse
import sys
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import marginflow as mf
from marginflow.torch import watch


RATES = (0.4, 0.1, 0.025)
"""Of gradient descent on the paper's model."""

COMPARED = 400
"""Steps of the two runs, with and without the watch, whose losses are compared bit by bit."""

AT = (400, 1500, 5000)
"""Steps at which the overhead is told."""


class Paper(nn.Module):
    """y v'X softmax(X K Q' z), for the exponential loss: the scores are y v'x."""

    def __init__(self, problem, start):
        super().__init__()
        self.K, self.Q = (nn.Parameter(torch.tensor(A)) for A in start)
        self.scores = torch.tensor(problem.scores)

    def forward(self, X, z):
        p = torch.softmax(torch.einsum("ntd,dm,em,ne->nt", X, self.K, self.Q, z), dim=-1)
        return (p * self.scores).sum(-1)


def turn(x):
    """Rotary positions, halves."""
    half = x.shape[-1] // 2
    phase = torch.arange(x.shape[-2])[:, None] * 10_000.0 ** (-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * phase.cos() - b * phase.sin(), b * phase.cos() + a * phase.sin()], dim=-1)


class Attention(nn.Module):
    """Causal, four query heads on two key heads; `own` makes it return the attention it computes."""

    def __init__(self, d=64, heads=4, groups=2):
        super().__init__()
        self.heads, self.groups, self.m, self.own = heads, groups, d // heads, None
        self.q_proj = nn.Linear(d, d, bias=False)
        self.kv_proj = nn.Linear(d, 2 * groups * self.m, bias=False)
        self.o_proj = nn.Linear(d, d, bias=False)

    def forward(self, x):
        B, T, d = x.shape
        q = turn(self.q_proj(x).view(B, T, self.heads, self.m).transpose(1, 2))
        k, v = self.kv_proj(x).view(B, T, 2 * self.groups, self.m).transpose(1, 2).chunk(2, dim=1)
        k = turn(k)
        if self.own is not None:
            logits = q.double() @ k.double().repeat_interleave(self.heads // self.groups, 1).mT / self.m**0.5
            weight = logits.exp() * torch.ones(T, T).tril()
            self.own.append(weight / weight.sum(-1, keepdim=True))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, d))


class GPT(nn.Module):
    """Characters, two layers, dropout."""

    def __init__(self, vocabulary, d=64, layers=2):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, d)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm": nn.RMSNorm(d),
                    "attn": Attention(d),
                    "norm2": nn.RMSNorm(d),
                    "mlp": nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d), nn.Dropout(0.1)),
                }
            )
            for _ in range(layers)
        )
        self.norm = nn.RMSNorm(d)
        self.head = nn.Linear(d, vocabulary, bias=False)

    def forward(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = x + layer["attn"](layer["norm"](x))
            x = x + layer["mlp"](layer["norm2"](x))
        return self.head(self.norm(x))


class ViT(nn.Module):
    """Digits of 8 x 8 as sixteen patches, nn.TransformerEncoder with dropout."""

    def __init__(self, d=32, layers=2):
        super().__init__()
        self.embed = nn.Linear(4, d)
        self.place = nn.Parameter(0.1 * torch.randn(16, d))
        layer = nn.TransformerEncoderLayer(d, 4, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(d, 10)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x) + self.place).mean(1))


def characters():
    """(codes, vocabulary) of the reference prose that every Python brings."""
    from pydoc_data import topics

    text = "\n".join(topics.topics.values())
    letters = sorted(set(text))
    return torch.tensor([letters.index(c) for c in text]), len(letters)


def gpt_job():
    codes, vocabulary = characters()
    probe = torch.stack([codes[k : k + 64] for k in (1000, 90_000, 170_000, 260_000)])

    def batch():
        at = torch.randint(len(codes) - 65, (16,))
        return torch.stack([codes[k : k + 65] for k in at])

    def loss_of(model, ids):
        return F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())

    return lambda: GPT(vocabulary), probe, batch, loss_of, lambda p: torch.optim.AdamW(p, lr=3e-3)


def vit_job():
    with np.load(files("marginflow.problem") / "data" / "digits.npz") as file:
        pixels, labels = torch.tensor(file["images"]), torch.tensor(file["labels"])
    patches = (pixels.float() / 16).view(-1, 4, 2, 4, 2).transpose(2, 3).reshape(-1, 16, 4)

    def batch():
        return torch.randint(len(patches), (64,))

    def loss_of(model, at):
        return F.cross_entropy(model(patches[at]), labels[at].long())

    return ViT, patches[:8], batch, loss_of, lambda p: torch.optim.SGD(p, lr=0.1)


def train(job, steps, to=None, watched=True, say=True):
    """(losses, model, watch) of `steps` updates, with the share of CPU time that the watch took."""
    make, probe, batch, loss_of, optimiser = job
    torch.manual_seed(0)
    model = make()
    opt = optimiser(model.parameters())
    start, inside = time.process_time(), 0.0
    watcher = watch(model, probe=probe, to=to) if watched else None
    inside += time.process_time() - start
    losses = []
    for step in range(1, steps + 1):
        loss = loss_of(model, batch())
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
        if watcher is not None:
            before = time.process_time()
            watcher.step(loss)
            inside += time.process_time() - before
            if say and step in AT:
                rest = time.process_time() - start - inside
                records = len(watcher.result)
                print(
                    f"  {step:5} steps: loss {losses[-1]:.3f}, {records} records of {1e3 * inside / records:.1f} ms, "
                    f"a step {1e3 * rest / step:.1f} ms, overhead {inside / rest:.2%}",
                    flush=True,
                )
    return losses, model, watcher


def real(name, job, steps, save):
    print(name, flush=True)
    alone = train(job, min(COMPARED, steps), watched=False)[0]
    to = None if save is None else save / f"{name}.npz"
    losses, model, watcher = train(job, steps, to)
    print(f"  losses of {len(alone)} steps bitwise equal with and without: {losses[: len(alone)] == alone}")
    own = own_entropies(name, model, job[1])
    record = watcher.now()
    gap = np.abs(record.figure("entropy")[-1] - own).max()
    print(f"  entropy, recorded against the model's own: {gap:.1e}")
    print(*(f"  {text}" for text in record.sentences), sep="\n")
    if name == "gpt":
        textbook(record)
    else:
        print(f"  {watcher.svm(record.names[0])}")


def own_entropies(name, model, probe):
    """(H,) of the model's own attention on the probe."""
    model.eval()
    found = []
    with torch.no_grad():
        if name == "gpt":
            for layer in model.layers:
                layer["attn"].own = []
            model(probe)
            found = [layer["attn"].own.pop() for layer in model.layers]
        else:
            x = model.embed(probe) + model.place
            for layer in model.encoder.layers:
                found.append(layer.self_attn(x, x, x, average_attn_weights=False)[1].double())
                x = layer(x)
    return torch.cat([-(p * p.clamp_min(1e-300).log()).sum(-1).mean((0, 2)) for p in found]).numpy()


def textbook(record):
    """Drift and balance of K K' - Q Q', which rotary positions do not conserve, beside those of the law."""
    print("  step   textbook drift, balance    by the law   (first head of each layer)")
    for k in np.unique(np.linspace(0, len(record) - 1, 6).round().astype(int)):
        parts = []
        for places in record.layers.values():
            group = [record.names[i] for i in places[:2]]
            grams = []
            for at in (0, k):
                cores = [record.core(name, at) for name in group]
                grams.append((cores[0].key_gram, sum(core.query_gram for core in cores)))
            (K0, Q0), (K, Q) = grams
            size = np.linalg.norm
            drift = size(K - Q - K0 + Q0) / (size(K0) + size(Q0))
            balance = size(K - Q) / (size(K) + size(Q))
            own = (record.figure(name)[k, places[0]] for name in ("drift", "balance"))
            parts.append(f"{drift:6.3f} {balance:5.3f} | {next(own):6.3f} {next(own):5.3f}")
        print(f"  {record.step[k]:5}  {'     '.join(parts)}")


def paper(save):
    """Gradient descent against the flow from the same start, and what the flow said at step 0."""
    print("paper")
    problem = mf.load("sphere:n=6,T=6,d=8,seed=9")
    start = 0.3 * np.random.default_rng(0).standard_normal((2, 8, 8))
    probe = torch.tensor(problem.X), torch.tensor(problem.z)
    told = None
    for rate in RATES:
        model = Paper(problem, start)
        to = None if save is None else save / "paper.npz"
        watcher = watch(model, probe, to, read=lambda m: [("head", m.K.T, m.Q.T)], problem=problem)
        if told is None:
            told = watcher.flow("head")
            # The snapshot nearest to t = 811, where the prototype looked.
            k = int(np.argmin(np.abs(told.log_time - np.log(811.0))))
            t = float(np.exp(told.log_time[k]))
            print(f"  the flow from step 0 says: {told.status.name}: {told.reason}")
        steps = round(t / rate)
        opt = torch.optim.SGD(model.parameters(), lr=t / steps)
        for _ in range(steps):
            loss = torch.exp(-model(*probe)).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            watcher.step(loss)
        W = (model.K @ model.Q.T).detach().numpy()
        apart = np.linalg.norm(W - told.W(k)) / np.linalg.norm(told.W(k))
        record = watcher.now(loss)
        print(
            f"  rate {t / steps:.4f}, {steps} steps to t = {t:.1f}: |W - W_flow| / |W| = {apart:.2e}, drift "
            f"{record.figure('drift')[-1, 0]:.1e}, loss {record.loss[-1]:.5f}",
            flush=True,
        )
        chosen = np.einsum("ntd,de,ne->nt", problem.X, W, problem.z).argmax(axis=1)
        print(f"  top tokens of gradient descent {chosen.tolist()}, of the flow's end {told.selected(-1).tolist()}")


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("names", nargs="*", default=["paper", "gpt", "vit"])
    ask.add_argument("--steps", type=int, default=5000)
    ask.add_argument("--save", type=Path)
    asked = ask.parse_args()
    torch.set_num_threads(1)
    for name in asked.names:
        if name == "paper":
            paper(asked.save)
        else:
            real(name, {"gpt": gpt_job, "vit": vit_job}[name](), asked.steps, asked.save)


if __name__ == "__main__":
    sys.exit(main())
