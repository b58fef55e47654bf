"""`watch`: a model that is being trained, looked at on a probe at some of its steps."""

import os
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from marginflow.errors import InputError
from marginflow.heads.head import Head
from marginflow.torch.untouched import bare, torch_or_error, untouched
from marginflow.watch.clock import PER_DECADE
from marginflow.watch.record import Record
from marginflow.watch.recorder import Recorder


if TYPE_CHECKING:
    from marginflow.problem.problem import Problem
    from marginflow.torch.ask import Spending
    from marginflow.torch.look import Looked
    from marginflow.trajectory.trajectory import Trajectory

Read = Callable[[Any], Sequence[Any]]
"""model -> [(name, K, Q), ...] with K (m, D) and Q (m, D_z), or [(name, Head), ...]."""


def watch(
    model: Any,
    probe: Any = None,
    to: str | os.PathLike[str] | None = None,
    *,
    read: Read | None = None,
    modules: Sequence[str] | None = None,
    problem: "Problem | None" = None,
    per_decade: int = PER_DECADE,
) -> "Watch":
    """Watch `model` while it trains: call `step(loss)` of the result after every update.

    At the start, and then at steps evenly spaced on a logarithmic scale, one forward pass on `probe` in eval mode sees
    the logits that go into every softmax over tokens; keys and queries are read from the parameters. Which rows make
    which head, and what gradient flow conserves of them, is measured once, with projections replaced by random
    numbers. The run is not touched: training flags, generators, buffers, attributes and hooks are put back.

    Args:
        model: a torch.nn.Module; wrappers of torch.compile and DistributedDataParallel are looked through.
        probe: what the model is called with, some hundred tokens, the same at every record: a mapping of keyword
            arguments, a tuple of positional ones, or one tensor. With `read` it may be None.
        to: the record's .npz file, replaced at the start and rewritten whole at every record; None keeps it in memory.
        read: gives keys and queries of plain modules whose projections are not found; logits are then those of the
            probe's softmaxes, if there are as many as heads.
        modules: names of the modules to watch, as in `model.named_modules()`, with all inside them; None for all.
        problem: the data, where the model is the paper's: `flow` continues from here.
        per_decade: records between step k and step 10 k.

    Raises:
        InputError: PyTorch is missing, or the model cannot be seen as a whole: own kernels, sharded parameters, no
            attention, projections that are not recognised. Nothing is recorded then.
    """
    return Watch(model, probe, to, read=read, modules=modules, problem=problem, per_decade=per_decade)


class Watch:
    """A run that is being watched; made by `watch`."""

    def __init__(
        self,
        model: Any,
        probe: Any,
        to: str | os.PathLike[str] | None,
        *,
        read: Read | None,
        modules: Sequence[str] | None,
        problem: "Problem | None",
        per_decade: int,
    ) -> None:
        """Look once and record the start; see `watch`."""
        from marginflow.torch.look import Look, Reading

        torch = torch_or_error("watch")
        self.model = bare(model)
        self.problem = problem
        self.steps = 0
        self.stopped = ""
        """Why nothing more is recorded; "" while it is."""
        if read is None and probe is None:
            raise InputError("probe: got None; expected what the model is called with, some hundred tokens")
        if read is not None and modules is not None:
            raise InputError("modules: got names together with read=; expected one of the two")
        # Every process of a distributed run holds the same model: one of them writes.
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        self._idle = bool(distributed and torch.distributed.get_rank() != 0)
        if self._idle:
            return
        self._look: Look | Reading = (
            Look(self.model, probe, modules) if read is None else Reading(self.model, probe, read)
        )
        self._recorder = Recorder(to, per_decade=per_decade, model=type(self.model).__name__, note=self._look.note)
        self._record(None)

    def step(self, loss: Any = None) -> None:
        """Count an update, and record if the clock asks for it.

        Args:
            loss: the loss of the update, a number or a tensor of one entry; read only where it is recorded.
        """
        self.steps += 1
        if self._idle or self.stopped:
            return
        if self.steps == 1:
            self._recorder.amend(loss)
        if self._recorder.due(self.steps):
            self._try_record(loss)

    def now(self, loss: Any = None) -> Record:
        """Record the state after the last update, whatever the clock says, and return the record.

        Raises:
            InputError: another process of a distributed run records.
        """
        if not self.stopped and self.result.step[-1] < self.steps:
            self._try_record(loss)
        return self.result

    @property
    def result(self) -> Record:
        """What was recorded until now.

        Raises:
            InputError: another process of a distributed run records.
        """
        if self._idle:
            raise InputError("watch: this process does not record; rank 0 does")
        return self._recorder.result

    def head(self, name: str) -> Head:
        """The factors of one head as they are now.

        Raises:
            InputError: no such head.
        """
        names = self.result.names
        for own, head in self._look.heads():
            if own == name:
                return head
        raise InputError(f"head: got {name!r}; expected one of {', '.join(names[:8])}")

    def flow(self, head: str, problem: "Problem | None" = None, **options: Any) -> "Trajectory":
        """Where gradient flow goes from here, for a head that is the paper's model on `problem`.

        That is checked: the head is plain, and its logits on the probe, which must be the samples of the problem, are
        x'Wz. The trajectory has verdict, margin and reason; `mf.against_svm` and `mf.diagnose` take it from there.

        Args:
            head: its name.
            problem: that of `watch` when None.
            options: of `mf.integrate`.

        Raises:
            InputError: another model, another probe, or no problem.
        """
        from marginflow.torch.ask import flow_from

        chosen = self.problem if problem is None else problem
        return flow_from(self.head(head), self._looked().logits.get(head), chosen, options)

    def svm(self, head: str, *, queries: int = 12, draws: int = 4, seed: int = 0) -> "Spending":
        """How thrifty a head is on the probe: its norms over the certified least with its own margins.

        Args:
            head: its name.
            queries: random queries of the probe whose top tokens make the margins.
            draws: random rotations between the same keys and queries, as the control.
            seed: of both.

        Raises:
            InputError: positions or norms stand between keys and queries, or tokens and queries are not one sequence.
        """
        from marginflow.torch.ask import spending

        looked = self._looked()
        return spending(self.head(head), head, looked, queries=queries, draws=draws, seed=seed)

    def _looked(self) -> "Looked":
        with untouched(self.model):
            return self._look.look()

    def _try_record(self, loss: Any) -> None:
        """Record; what keeps it from being recorded is said, and does not end the run."""
        try:
            self._record(loss)
        except InputError as error:
            self.stopped = f"recording stopped at step {self.steps}: {error}"
            warnings.warn(self.stopped, stacklevel=4)

    def _record(self, loss: Any) -> None:
        with untouched(self.model):
            looked = self._look.look()
        self._recorder.record(self.steps, loss, self._look.heads(), looked.logits)

    def __repr__(self) -> str:
        if self._idle:
            return "Watch(another process records)"
        return f"Watch({self.result!r}, {self.steps} steps{', stopped' * bool(self.stopped)})"
