"""Limit a process before it reads hostile bytes: memory, files to write, the network, other programs.

Each fence is as good as the system has it and silent where it has none: limits of the process wherever there are such, Landlock
from Linux 5.13 and seccomp on Linux for x86-64 and aarch64. A fence once up can't be taken down.

Sources: landlock(7), seccomp(2), prctl(2); the numbers of the calls: asm/unistd_64.h, asm-generic/unistd.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_NO_NEW_PRIVILEGES: Final = 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same on every architecture
_WRITES: Final = (1 << 1) | sum(1 << bit for bit in range(4, 13))  # write_file, remove_*, make_*
_REFER, _TRUNCATE, _DEVICES = 1 << 13, 1 << 14, 1 << 15
_EXECUTE: Final = 1 << 0
_TCP: Final = 0b11  # bind, connect
_SCOPES: Final = 0b11  # abstract sockets, signals
_PATH_BENEATH: Final = 1
_MACHINES: Final = {  # audit architecture, seccomp(2)'s number, then the calls refused
    "x86_64": (0xC000003E, 317, "x86"),
    "aarch64": (0xC00000B7, 277, "arm"),
}
_REFUSED: Final = {  # what no reader of pictures, archives or texts has to call; (x86-64, aarch64)
    "socket": (41, 198),
    "socketpair": (53, 199),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "connect": (42, 203),
    "accept4": (288, 242),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kill": (62, 129),
    "tkill": (200, 130),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "pivot_root": (155, 41),
    "bpf": (321, 280),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "open_by_handle_at": (304, 265),
    "shmget": (29, 194),
    "setuid": (105, 146),
    "setgid": (106, 144),
}
_BECOMES: Final = ("execve", "execveat")
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # the call fails with EPERM
_UNKNOWN: Final = 0x00050000 | 38  # the call fails with ENOSYS
_CLONE3: Final = 435
_THREAD: Final = 0x00010000  # CLONE_THREAD
_X32: Final = 0x40000000


def limit(memory: int, file_size: int, files: int = 128) -> None:
    """Bounds that the system holds: memory that is the process's own, the size of a file it writes, files open at once.

    Args:
        memory: bytes.
        file_size: bytes.
        files: open at the same time.
    """
    if sys.platform == "win32":
        return
    import resource

    # RLIMIT_DATA counts memory that is written to; address space alone costs nothing, and libraries reserve much of it
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    for name, most in (
        (kind, memory),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(name)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(name, (bound, bound))


def limit_memory(memory: int) -> None:
    """Change the bound on memory, below the permanent one that ``limit`` set."""
    if sys.platform == "win32":
        return
    import resource

    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    hard = resource.getrlimit(kind)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (memory if hard == resource.RLIM_INFINITY else min(memory, hard), hard))


def fence_files(writable: Sequence[Path] = ()) -> bool:
    """Write, make, rename and remove nothing outside these folders, and speak no TCP; whether the kernel knows how.

    To be called while the process has one thread.
    """
    if sys.platform != "linux":
        return False
    version = _call(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return False
    rights = _WRITES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    fields = [rights | (_DEVICES if version >= 5 else 0)]
    fields += [_TCP] if version >= 4 else []
    fields += [_SCOPES] if version >= 6 else []
    attributes = struct.pack(f"<{len(fields)}Q", *fields)
    ruleset = _call(_LANDLOCK_CREATE, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        for folder in writable:
            _allow(ruleset, folder, rights)
        _allow(ruleset, Path(os.devnull), rights & (_WRITES & 0b10 | _TRUNCATE))
        _forbid_privileges()
        return _call(_LANDLOCK_RESTRICT, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _allow(ruleset: int, place: Path, rights: int) -> None:
    try:
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = struct.pack("<Qi", rights, opened)
        _call(_LANDLOCK_ADD, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(opened)


_raised: list[bool] = []  # whether this process ever asked for the fence around its calls


def is_up() -> bool:
    """Whether this process gave up what it does not need: it can start no further one."""
    return bool(_raised)


def fence_calls(*, may_execute: bool = False) -> bool:
    """Open no socket, start no program, touch no other process; whether the kernel knows how. All threads at once.

    ``may_execute``: this process may still become another program, which inherits the fence.
    """
    _raised.append(True)
    machine = _MACHINES.get(platform.machine()) if sys.platform == "linux" else None
    if machine is None or sys.maxsize < 2**32:
        return False
    audit, seccomp, kind = machine
    allowed = _BECOMES if may_execute else ()
    numbers = [pair[0 if kind == "x86" else 1] for name, pair in _REFUSED.items() if name not in allowed]
    refused = sorted({number for number in numbers if number is not None})
    program = _filter(audit, refused, is_x86=kind == "x86")
    buffer = ctypes.create_string_buffer(program, len(program))
    pointer = struct.pack(
        "@HP" if struct.calcsize("@HP") == 16 else "@H6xP", len(program) // 8, ctypes.addressof(buffer)
    )
    _forbid_privileges()
    return _call(seccomp, 1, 1, pointer) == 0  # a filter, for every thread of the process


def _filter(audit: int, refused: Sequence[int], *, is_x86: bool) -> bytes:
    """The filter's program: refuse another architecture's calls, those of the list, and allow the rest."""
    load, equal, at_least, any_bit, end = 0x20, 0x15, 0x35, 0x45, 0x06

    def step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
        return struct.pack("<HBBI", code, if_so, if_not, value)

    steps = [step(load, 4), step(equal, audit, 1, 0), step(end, _REFUSE), step(load, 0)]
    if is_x86:
        steps += [step(at_least, _X32, 0, 1), step(end, _REFUSE)]
    # a thread of its own is let through, another process is not; clone3 hides its flags, and libraries do without it
    steps += [step(equal, _CLONE3, 0, 1), step(end, _UNKNOWN)]
    steps += [step(equal, 56 if is_x86 else 220, 0, 4), step(load, 16), step(any_bit, _THREAD, 0, 1)]
    steps += [step(end, _ALLOW), step(end, _REFUSE)]
    count = len(refused)
    steps += [step(equal, number, count - place, 0) for place, number in enumerate(refused)]
    return b"".join([*steps, step(end, _ALLOW), step(end, _REFUSE)])


def _forbid_privileges() -> None:
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_NO_NEW_PRIVILEGES, ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def _call(number: int, *given: bytes | int | None) -> int:
    """A system call; -1 where it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_char_p(data) if isinstance(data, bytes) else ctypes.c_long(data or 0) for data in given]
    return int(library.syscall(ctypes.c_long(number), *words))
