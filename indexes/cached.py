"""cached.py: a method without arguments -> an attribute that is worked out when first asked for."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class lazily(Generic[T]):  # used as a decorator, like `property`
    """`functools.cached_property` without its lock.

    Up to Python 3.11 that lock is held while the value is worked out, by all objects of a class
    together: one request that waits for a slow disk would make every other one wait. Threads that
    share an object may work out a value twice, so it has to come out the same.
    """

    def __init__(self, work: Callable[[Any], T]) -> None:
        self._work = work
        self.__doc__ = work.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, one: None, owner: type) -> "lazily[T]": ...
    @overload
    def __get__(self, one: object, owner: type) -> T: ...
    def __get__(self, one: object | None, owner: type) -> "lazily[T] | T":
        if one is None:
            return self
        found = one.__dict__[self._name] = self._work(one)
        return found
