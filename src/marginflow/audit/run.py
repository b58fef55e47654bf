"""The door of the room: a checkpoint in, an `Audit` out."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from marginflow.audit.audit import Audit
from marginflow.audit.measured import measure
from marginflow.blas import one_thread
from marginflow.errors import InputError
from marginflow.heads.checkpoint import Checkpoint, open_checkpoint


@one_thread()
def audit(
    path: str | os.PathLike[str],
    inputs: str | os.PathLike[str] | None = None,
    *,
    controls: int = 8,
    seed: int = 0,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    offsets: Sequence[float] = (1, 8, 64),
    samples: int = 256,
    positions: int = 0,
    queries: int = 12,
    progress: Callable[[str], None] | None = None,
    keep_partial: bool = False,
) -> Audit:
    """Measure the query-key matrices of a checkpoint, head by head, beside two controls.

    Figures are of W = scale K'Q, scale included, biases as last columns, norms not folded, rotary positions at
    offset 0. No weight is executed, nothing is written, no D x D matrix is formed.

    Args:
        path: a model's folder (safetensors and config.json), or one .safetensors file beside its config.json.
        inputs: an .npz of the layers' inputs: `layer0`, `layer3`, ... (n, T, D), `mask` (n, T) optional,
            `tokens` (n, T) optional; written by `marginflow.torch.capture` or by hand.
        controls: draws of each control, at least 2.
        seed: of the draws and of the samples.
        layers, heads: which, from 0; all when None.
        offsets: distances at which W of rotary heads is measured as well.
        samples: at most so many samples of `inputs`, drawn with `seed`.
        positions: so many random tokens of each sample are its queries for the rank on data; 0 for all of them.
        queries: of all queries so many give the SVM of the head's own top tokens; 0 for none.
        progress: called with a status text.
        keep_partial: return the heads measured until then on KeyboardInterrupt, instead of raising it.

    Raises:
        InputError: a path, file, layout or option that cannot be used. KeyboardInterrupt: unless `keep_partial`.
    """
    _check(controls, seed, samples, positions, queries)
    found = open_checkpoint(path)
    chosen = _chosen("layers", layers, found.shape.layers)
    wanted = set(_chosen("heads", heads, found.shape.heads))
    data = None
    if inputs is not None:
        from marginflow.audit.inputs import read_inputs

        data = read_inputs(inputs, layers=found.shape.layers, samples=samples, seed=seed, positions=positions)
    measured: list[Any] = []
    on_data: list[Any] = []
    law = formula = ""
    interrupted = False
    show = progress or (lambda text: None)
    try:
        for layer in chosen:
            for head in found.layer(layer):
                law, formula = law or head.law.word, formula or head.law.formula
                if head.head not in wanted:
                    continue
                show(f"layer {layer}, head {head.head}")
                own = measure(head, controls=controls, seed=seed, offsets=offsets)
                if data is not None and layer in data.layers:
                    from marginflow.audit.on_data import measure_on_data

                    on_data.append(
                        measure_on_data(
                            head,
                            data,
                            causal=found.layout.causal,
                            window=found.shape.window[layer],
                            seed=seed,
                            queries=queries,
                        )
                    )
                measured.append(own)
    except KeyboardInterrupt:
        if not keep_partial:
            raise
        interrupted = True
    return Audit(
        source=os.fspath(path),
        family=_word(found),
        law=law,
        formula=formula,
        heads=tuple(measured),
        offsets=tuple(float(o) for o in offsets),
        controls=controls,
        seed=seed,
        on_data=tuple(on_data),
        inputs="" if inputs is None else os.fspath(inputs),
        interrupted=interrupted,
    )


def _word(found: Checkpoint) -> str:
    return found.family


def _check(controls: int, seed: int, samples: int, positions: int, queries: int) -> None:
    for name, value, least in (("controls", controls, 2), ("seed", seed, 0), ("samples", samples, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name}: got {value!r}; expected an integer of at least {least}")
    if controls > 10_000:
        raise InputError(f"controls: got {controls}; expected at most 10000 draws")
    for name, value in (("positions", positions), ("queries", queries)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InputError(f"{name}: got {value!r}; expected a count of at least 0")


def _chosen(name: str, given: Sequence[int] | None, count: int) -> list[int]:
    if given is None:
        return list(range(count))
    wrong = [value for value in given if isinstance(value, bool) or not 0 <= value < count]
    if wrong or not len(given):
        raise InputError(f"{name}: got {list(given)}; expected some of 0 to {count - 1}")
    return sorted(set(given))
