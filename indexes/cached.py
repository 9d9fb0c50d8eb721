"""cached.py: a method without arguments -> an attribute that is worked out when first asked for."""

from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")


class lazily(cached_property[T]):  # used as a decorator, like `property`
    """`functools.cached_property` without its lock.

    Up to Python 3.11 that lock is held while the value is worked out, by all objects of a class
    together: one request that waits for a slow disk would make every other one wait. Threads that
    share an object may work out a value twice, so it has to come out the same.
    """

    if not TYPE_CHECKING:  # the types are those of the class above

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            value = instance.__dict__[self.attrname] = self.func(instance)
            return value
