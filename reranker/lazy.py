"""lazy.py: a method without arguments -> a value that is worked out once an object, when asked."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class cached_property(Generic[T]):  # used as functools.cached_property is
    """`functools.cached_property` without its lock.

    Before Python 3.12 that lock is one for all objects of the class: a single request that waits
    for its stored history would hold up every other request's.
    """

    def __init__(self, work_out: Callable[[Any], T]) -> None:
        self._work_out = work_out
        self.__doc__ = work_out.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "cached_property[T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> "cached_property[T] | T":
        if instance is None:
            return self
        found = instance.__dict__[self._name] = self._work_out(instance)
        return found
