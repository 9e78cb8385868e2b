"""The structural independence assumption: stated, measured, and judged before anything is cut.

Where to begin reading:

- what a unit may be: ``components``, and for each definition whether it is one: ``graph`` (what joins slices
  of weights), ``structural`` (the answer), ``words`` (the same for a reader);
- what removals cost: the package ``measured``; ``measured.measurement`` holds all that it finds;
- the answer: ``figures`` (numbers read off the measured part), ``thresholds`` (limits, from one file),
  ``verdict``; ``prediction`` and ``trial`` tell what a cut will cost;
- the order of the stages, another question: ``staleness``, and what layers know of the class, ``information``
  (with ``softmax_probe``) and ``kernels``, both on ``pooled_states``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallableRoom(ModuleType):
    """Lets ``secateur.sia(model, ...)`` be called although the room of that name hides the function."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return sys.modules["secateur"].check_independence(*arguments, **options)


sys.modules[__name__].__class__ = _CallableRoom
