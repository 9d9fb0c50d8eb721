"""seccomp.py: a systemd unit -> its system call filters, loaded into this process; then a program.

    python -m support.seccomp UNIT PROGRAM [ARGUMENT ...]

What systemd builds of SystemCallFilter, SystemCallErrorNumber, MemoryDenyWriteExecute and
RestrictAddressFamilies (systemd.exec(5)) is loaded by libseccomp, and the program takes the place
of this process. The groups are those of `systemd-analyze syscall-filter`; where there is none, what
the unit takes away is taken away of GROUPS, and everything else is let through.
"""

import ctypes
import errno
import mmap
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

LIBRARY: Final = "libseccomp.so.2"
GROUPS: Final = {
    "@privileged": "chown fchown fchownat lchown chroot pivot_root setuid setgid setgroups "
    "setresuid setresgid setreuid setregid setfsuid setfsgid capset acct bpf quotactl swapon "
    "swapoff reboot init_module finit_module delete_module kexec_load settimeofday "
    "clock_settime adjtimex clock_adjtime iopl ioperm open_by_handle_at vhangup",
    "@resources": "ioprio_set mbind migrate_pages move_pages sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler set_mempolicy setpriority setrlimit",
}
_ALLOW: Final = 0x7FFF0000
_KILL: Final = 0x80000000
_ERRNO: Final = 0x00050000
_EQUAL, _GREATER, _MASKED_EQUAL = 4, 6, 7
_SHM_EXEC: Final = 0o100000
Action = int


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


@cache
def library() -> ctypes.CDLL:
    """libseccomp; OSError where there is none."""
    found = ctypes.CDLL(LIBRARY, use_errno=True)
    found.seccomp_init.restype = ctypes.c_void_p
    found.seccomp_init.argtypes = (ctypes.c_uint32,)
    found.seccomp_load.argtypes = (ctypes.c_void_p,)
    found.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    found.seccomp_rule_add_array.argtypes = (
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint),
        ctypes.POINTER(_Comparison),
    )
    return found


class Filter:
    """One seccomp filter: what happens to system calls, and to some of them something else."""

    def __init__(self, otherwise: Action) -> None:
        self._filter = library().seccomp_init(otherwise)
        self._otherwise = otherwise

    def add(self, action: Action, name: str, *comparisons: tuple[int, int, int, int]) -> None:
        """Calls of this name, where every (argument, operator, a, b) holds."""
        number = library().seccomp_syscall_resolve_name(name.encode())
        if number < 0 or action == self._otherwise:  # not of this processor, or nothing new
            return
        array = (_Comparison * len(comparisons))(*comparisons)
        status = library().seccomp_rule_add_array(
            self._filter, action, number, len(comparisons), array
        )
        assert status == 0, f"{name}: {os.strerror(-status)}"

    def load(self) -> None:
        """From now on, for good; OSError where the kernel takes none."""
        if status := library().seccomp_load(self._filter):
            raise OSError(-status, f"seccomp: {os.strerror(-status)}")


def values_of(unit: str, key: str) -> list[str]:
    """Every line of a key in the unit, in order."""
    return re.findall(rf"^{key}=(.*)$", unit, re.M)


@cache
def groups() -> dict[str, list[str]]:
    """systemd's groups of system calls, by name; empty where there is no systemd-analyze."""
    if not shutil.which("systemd-analyze"):
        return {}
    text = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True
    ).stdout
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if re.match(r"@\S+$", line):
            members = found.setdefault(line, [])
        elif (name := line.strip()) and line.startswith(" ") and not name.startswith("#"):
            members.append(name)
    return found


def members(name: str) -> Iterator[str]:
    """The system calls of a group, those of groups within it, too; or the one of this name."""
    if not name.startswith("@"):
        yield name
    elif name in GROUPS and not groups():
        yield from GROUPS[name].split()
    else:
        for one in groups().get(name, ()):
            yield from members(one)


def system_calls(unit: str) -> Filter:
    """SystemCallFilter: the first line says whether the list is of what is allowed (`~`: refused).

    @default is always allowed.
    """
    error = values_of(unit, "SystemCallErrorNumber")
    refusal = _ERRNO | getattr(errno, error[-1]) if error else _KILL
    lines = values_of(unit, "SystemCallFilter")
    allows = bool(groups()) and not lines[0].startswith("~")
    listed = set(members("@default")) if allows else set()
    for line in lines:
        named = {call for name in line.lstrip("~").split() for call in members(name)}
        taken_away = line.startswith("~") == allows
        listed = listed - named if taken_away else listed | named
    result = Filter(refusal if allows else _ALLOW)
    for call in sorted(listed):
        result.add(_ALLOW if allows else refusal, call)
    return result


def memory() -> Filter:
    """MemoryDenyWriteExecute: no memory that is written and run, and none that becomes runnable."""
    both, run = mmap.PROT_WRITE | mmap.PROT_EXEC, mmap.PROT_EXEC
    result = Filter(_ALLOW)
    result.add(_ERRNO | errno.EPERM, "mmap", (2, _MASKED_EQUAL, both, both))
    result.add(_ERRNO | errno.EPERM, "mprotect", (2, _MASKED_EQUAL, run, run))
    result.add(_ERRNO | errno.EPERM, "pkey_mprotect", (2, _MASKED_EQUAL, run, run))
    result.add(_ERRNO | errno.EPERM, "shmat", (2, _MASKED_EQUAL, _SHM_EXEC, _SHM_EXEC))
    return result


def families(names: list[str]) -> Filter:
    """RestrictAddressFamilies: sockets of these families alone."""
    allowed = {int(getattr(socket, name)) for name in names}
    refusal = _ERRNO | errno.EAFNOSUPPORT
    result = Filter(_ALLOW)
    for family in range(max(allowed)):
        if family not in allowed:
            result.add(refusal, "socket", (0, _EQUAL, family, 0))
    result.add(refusal, "socket", (0, _GREATER, max(allowed), 0))
    return result


def filters(unit: str) -> list[Filter]:
    """All of a unit's, before any of them counts."""
    made = [families(" ".join(values_of(unit, "RestrictAddressFamilies")).split())]
    if values_of(unit, "MemoryDenyWriteExecute")[-1:] == ["yes"]:
        made.append(memory())
    return [*made, system_calls(unit)]


def main() -> None:
    """Load them, and become the program."""
    unit, *program = sys.argv[1:]
    for one in filters(Path(unit).read_text()):
        one.load()
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
