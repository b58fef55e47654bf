"""Small models as people write them, one attention layer each, with what watch should find in it."""

import torch
import torch.nn.functional as F
from torch import nn


torch.set_num_threads(1)
D, H, M, T = 16, 4, 4, 9


def turn(x, pairs, neighbours=False):
    """Rotary positions on the first 2 `pairs` rows."""
    angles = 100.0 ** (-torch.arange(pairs) / pairs)
    phase = torch.arange(x.shape[-2])[:, None] * angles
    first, second = slice(pairs), slice(pairs, 2 * pairs)
    if neighbours:
        first, second = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
    out = x.clone()
    out[..., first] = x[..., first] * phase.cos() - x[..., second] * phase.sin()
    out[..., second] = x[..., second] * phase.cos() + x[..., first] * phase.sin()
    return out


class Layer(nn.Module):
    """Self-attention in one of many writings; `seen` holds the attention that the model itself computes."""

    def __init__(self, kind="plain", how="fused", groups=H, bias=False, dropout=0.0):
        super().__init__()
        self.kind, self.how, self.groups, self.drop = kind, how, groups, dropout
        self.q = nn.Linear(D, H * M, bias=bias)
        self.k = nn.Linear(D, groups * M, bias=bias)
        self.v = nn.Linear(D, groups * M, bias=bias)
        self.out = nn.Linear(H * M, D)
        self.q_norm, self.k_norm = (nn.RMSNorm(M), nn.RMSNorm(M)) if kind.startswith("norm") else (None, None)

    def forward(self, x):
        B, S, _ = x.shape
        q = self.q(x).view(B, S, H, M).transpose(1, 2)
        k, v = (f(x).view(B, S, self.groups, M).transpose(1, 2) for f in (self.k, self.v))
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if "rope" in self.kind:
            pairs = 1 if "partial" in self.kind else M // 2
            q, k = (turn(y, pairs, "neighbours" in self.kind) for y in (q, k))
        drop = self.drop if self.training else 0.0
        repeated = [y.repeat_interleave(H // self.groups, dim=1) for y in (k, v)]
        causal = torch.ones(S, S, dtype=torch.bool).tril()
        logits = q @ repeated[0].transpose(-2, -1) * M**-0.5
        weight = logits.detach().double().exp().masked_fill(~causal, 0.0)
        self.seen = weight / weight.sum(-1, keepdim=True)
        if self.how == "fused":
            y = F.scaled_dot_product_attention(q, *repeated, is_causal=True, dropout_p=drop)
        elif self.how == "grouped":
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=drop, enable_gqa=True)
        elif self.how == "bool mask":
            y = F.scaled_dot_product_attention(q, *repeated, attn_mask=causal, dropout_p=drop)
        elif self.how == "float mask":
            mask = torch.zeros(S, S).masked_fill(~causal, torch.finfo(torch.float32).min)
            y = F.scaled_dot_product_attention(q, *repeated, attn_mask=mask, dropout_p=drop, scale=M**-0.5)
        elif self.how == "eager":
            y = F.dropout(F.softmax(logits.masked_fill(~causal, -1e9), dim=-1), drop) @ repeated[1]
        elif self.how == "einsum":
            logits = torch.einsum("bqhm,bkhm->bhqk", q.transpose(1, 2), repeated[0].transpose(1, 2)) / M**0.5
            y = F.dropout(logits.masked_fill(~causal, -torch.inf).softmax(-1), drop) @ repeated[1]
        else:
            flat = [t.reshape(B * H, S, M) for t in (q, *repeated)]
            logits = torch.baddbmm(torch.zeros(1, S, S), flat[0], flat[1].mT, alpha=M**-0.5)
            y = torch.bmm(torch.softmax(logits.masked_fill(~causal, -1e4), -1), flat[2]).view(B, H, S, M)
        return self.out(y.transpose(1, 2).reshape(B, S, H * M))


class Net(nn.Module):
    """Embedding, `layers`, a head; the forward pass gives logits."""

    def __init__(self, *layers, dropout=0.1):
        super().__init__()
        self.embed = nn.Embedding(11, D)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(D)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(D, 11)

    def forward(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = x + self.dropout(layer(self.norm(x)))
        return self.head(x)


def net(*kinds, **options):
    torch.manual_seed(0)
    return Net(*(Layer(*kind, **options) for kind in kinds))


def batches(count=1, size=3):
    draw = torch.Generator().manual_seed(5)
    return [torch.randint(0, 11, (size, T), generator=draw) for _ in range(count)]


def train(model, steps, watcher=None, rate=0.05, optimiser=torch.optim.AdamW):
    """The losses of `steps` updates, dropout on, order of batches random."""
    torch.manual_seed(1)
    opt = optimiser([p for p in model.parameters() if p.requires_grad], lr=rate)
    data, losses = batches(8), []
    for _ in range(steps):
        ids = data[int(torch.randint(8, ()))]
        loss = F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
        if watcher is not None:
            watcher.step(loss)
    return losses


def entropies(p):
    """(H,) mean over queries of probabilities (B, H, S, T)."""
    return -(p * p.clamp_min(1e-300).log()).sum(-1).mean((0, 2))
