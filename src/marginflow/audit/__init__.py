"""The query-key matrices of a real checkpoint, head by head, against controls; and on data."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from marginflow.audit.audit import Audit


class _Door(ModuleType):
    """`mf.audit(path)` is the door although the room has its name: importing a room puts it where the door was."""

    def __call__(self, *args: Any, **kwargs: Any) -> "Audit":
        from marginflow.audit.run import audit

        return audit(*args, **kwargs)


sys.modules[__name__].__class__ = _Door
