"""One look at a model: the probe goes through it, and every head's logits are kept."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import torch

from marginflow.arrays import Floats, as_floats
from marginflow.errors import InputError
from marginflow.heads.head import Head
from marginflow.torch.seen import Attended, Seen
from marginflow.torch.sites import Site, check_site, find_site, scale_between
from marginflow.torch.untouched import untouched


_SMALL: Final = 1e-2
"""Size of random projections that show the scale: soft caps are linear there."""

_ATTENTION: Final = re.compile("attention|attn", re.IGNORECASE)


@dataclass(eq=False)
class Looked:
    """What one probe showed.

    Attributes:
        logits: head -> (n, S, T) as they go into the softmax.
        inputs: head -> inputs of keys and of queries, (n, T, D) and (n, S, D_z); only where they were projected.
    """

    logits: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, tuple[Any, Any]] = field(default_factory=dict)


class Look:
    """The heads of a model whose dot products can be seen."""

    note = ""

    def __init__(self, model: Any, probe: Any, modules: Sequence[str] | None) -> None:
        """Find the heads.

        Raises:
            InputError: no attention, or some that cannot be seen.
        """
        self._model, self._probe = model, probe
        known = dict(model.named_modules())
        unknown = [name for name in modules or [] if name not in known]
        if unknown or modules == []:
            raise InputError(f"modules: got {unknown[:3] or 'none'}; expected names of model.named_modules()")
        self._only = None if modules is None else tuple(modules)
        with untouched(model):
            sites, blind = self._found(known)
            self._sites = self._scaled(sites)
        if blind:
            raise InputError(blind)
        if not self._sites:
            raise InputError(
                "watch: no attention was found: nothing on the probe's way hands a product of keys and queries to "
                "softmax or scaled_dot_product_attention; own kernels (flash-attn, flex_attention) cannot be seen"
            )
        names = [name for site in self._sites for name in site.names]
        self._names = _merged(self._sites, names)

    def look(self) -> Looked:
        """Run the probe; to be called where the model is left untouched.

        Raises:
            InputError: the model no longer does what it did when its heads were found.
        """
        found = Looked()
        place = 0

        def keep(event: Attended) -> None:
            nonlocal place
            if not self._wanted(event.module):
                return
            if place >= len(self._sites):
                raise InputError("watch: the model took another path than before; nothing more is recorded")
            site, names = self._sites[place], self._names[place]
            check_site(site, event)
            place += 1
            logits = event.logits.reshape(-1, len(names), *event.logits.shape[-2:]).detach().to("cpu", torch.float64)
            inputs = _inputs(site, event)
            for h, name in enumerate(names):
                own = logits[:, h].numpy()
                before = found.logits.get(name)
                if before is not None and before.shape[1:] != own.shape[1:]:
                    raise InputError(f"watch: {name} is called with different lengths; it cannot be watched")
                found.logits[name] = own if before is None else np.concatenate([before, own])
                if inputs is not None:
                    found.inputs.setdefault(name, inputs)

        run(self._model, self._probe, Seen(_parameters(self._model), keep))
        if place < len(self._sites):
            raise InputError("watch: the model took another path than before; nothing more is recorded")
        return found

    def heads(self) -> Iterator[tuple[str, Head]]:
        """Every head by its name, as it is now; heads that are used several times once."""
        done: set[str] = set()
        for site, names in zip(self._sites, self._names, strict=True):
            if done.issuperset(names):
                continue
            for name, head in zip(names, site.heads(), strict=True):
                if name not in done:
                    done.add(name)
                    yield name, head

    def _wanted(self, module: str) -> bool:
        return self._only is None or any(module == name or module.startswith(f"{name}.") for name in self._only)

    def _found(self, known: Mapping[str, Any]) -> tuple[list[Site], str]:
        """The sites on the probe's way, and what cannot be seen there."""
        sites: list[Site] = []

        def keep(event: Attended) -> None:
            if self._wanted(event.module):
                sites.append(find_site(event))

        seen = Seen(_parameters(self._model), keep, random=torch.Generator().manual_seed(0))
        run(self._model, self._probe, seen)
        return sites, self._blind(known, seen)

    def _scaled(self, sites: list[Site]) -> list[Site]:
        """The sites with their scales, of those whose model multiplies outside a fused function."""
        passes: list[list[Attended]] = []
        if all(site.scale is not None for site in sites):
            return sites
        for seed in (1, 2):
            events: list[Attended] = []

            def keep(event: Attended, events: list[Attended] = events) -> None:
                if self._wanted(event.module):
                    events.append(replace(event, given=[]))

            random = torch.Generator().manual_seed(seed)
            run(self._model, self._probe, Seen(_parameters(self._model), keep, random=random, size=_SMALL))
            passes.append(events)
        if [len(events) for events in passes] != [len(sites)] * 2:
            raise InputError("watch: the model takes another path at every pass; it cannot be watched")
        return [
            replace(site, scale=scale_between(site, one, two)) if one.scale is None else site
            for site, one, two in zip(sites, *passes, strict=True)
        ]

    def _blind(self, known: Mapping[str, Any], seen: Seen) -> str:
        """Which attention module on the probe's way showed no dot product, as a sentence: half a record is none."""
        for name in sorted(seen.called - seen.used):
            module = known[name]
            inner = [m for m in module.modules() if m is not module and _ATTENTION.search(type(m).__name__)]
            named = _ATTENTION.search(type(module).__name__) and self._wanted(name)
            if named and not inner and any(True for _ in module.parameters()):
                return (
                    f"watch: {name} ({type(module).__name__}) hands no product of keys and queries to softmax or "
                    "scaled_dot_product_attention: an own kernel (flash-attn, flex_attention) cannot be seen; use "
                    "another attention implementation, or name the layers to watch with modules=[...]"
                )
        return ""


class Reading:
    """Heads that the user's function reads, with the logits of the probe's softmaxes if there are as many."""

    def __init__(self, model: Any, probe: Any, read: Callable[[Any], Sequence[Any]]) -> None:
        """Read once.

        Raises:
            InputError: what `read` gives are no heads.
        """
        self._model, self._probe, self._read = model, probe, read
        self.note = "" if probe is not None else "No probe was given: logits are not recorded."
        self._count = len(list(self.heads()))
        if probe is not None:
            with untouched(model):
                logits = self.look().logits
            if not logits:
                self.note = "The probe's softmaxes are not one for each head that was read: logits are not recorded."

    def heads(self) -> Iterator[tuple[str, Head]]:
        """What the user's function reads now."""
        with torch.no_grad():
            given = self._read(self._model)
        if not isinstance(given, list | tuple) or not given:
            raise InputError("read: expected a list of (name, K, Q) or (name, Head), one for each head")
        for item in given:
            if not isinstance(item, tuple) or len(item) not in (2, 3) or not isinstance(item[0], str):
                raise InputError("read: expected (name, K, Q) with K (m, D) and Q (m, D_z), or (name, Head)")
            if len(item) == 2 and isinstance(item[1], Head):
                yield item[0], item[1]
            elif len(item) == 3:
                K, Q = (as_floats(f"{side} of {item[0]}", x, 2) for side, x in zip("KQ", item[1:], strict=True))
                yield item[0], Head(K, Q, 1.0)
            else:
                raise InputError("read: expected (name, K, Q) with K (m, D) and Q (m, D_z), or (name, Head)")

    def look(self) -> Looked:
        """Run the probe, if there is one."""
        found = Looked()
        if self._probe is None:
            return found
        events: list[Attended] = []
        run(self._model, self._probe, Seen(_parameters(self._model), events.append, lone=True))
        logits: list[Floats] = []
        for event in events:
            array = event.logits.detach().to("cpu", torch.float64)
            if array.ndim == 2:
                array = array[:, None]
            parts = [array] if array.ndim == 3 else list(array.flatten(0, -4).unbind(1))
            logits += [np.asarray(part.numpy()) for part in parts]
        if len(logits) == self._count:
            found.logits = dict(zip((name for name, _ in self.heads()), logits, strict=True))
        return found


def run(model: Any, probe: Any, seen: Seen) -> None:
    """The probe through the model, everything seen."""
    with seen.inside(model):
        if isinstance(probe, Mapping):
            model(**probe)
        elif isinstance(probe, list | tuple):
            model(*probe)
        else:
            model(probe)


def _parameters(model: Any) -> dict[int, Any]:
    return {id(parameter): parameter for parameter in model.parameters()}


def _merged(sites: Sequence[Site], names: Sequence[str]) -> list[list[str]]:
    """The names of every site's heads; the same rows, used again, keep the first name they had."""
    first: dict[Any, str] = {}
    taken: set[str] = set()
    found = []
    for site in sites:
        own = []
        for name, key, query in zip(site.names, site.keys, site.queries, strict=True):
            rows = key.key, query.key
            if rows not in first:
                # Two dot products in one module have heads of the same number.
                count = 2
                unique = name
                while unique in taken:
                    unique = f"{site.module}#{count}.{name.rpartition('.')[2]}"
                    count += 1
                first[rows] = unique
                taken.add(unique)
            own.append(first[rows])
        found.append(own)
    return found


def _inputs(site: Site, event: Attended) -> tuple[Any, Any] | None:
    """The inputs of keys and queries; one object where they are one tensor."""
    if event.heads is not None:
        return event.heads.inputs
    sources = [next(p for p in event.given if p.weight is rows[0].weight) for rows in (site.keys, site.queries)]
    return sources[0].input.detach(), sources[1].input.detach()
