#!/usr/bin/env python3
"""Runs one node of a replicated ClickHouse from libchdb, for tests alone.

  launch.py check                                           whether it can (exit 3 if not)
  launch.py INTERSERVER_HOST INTERSERVER_PORT CLICKHOUSE_ARGUMENTS...

libchdb holds the whole server, but never reads the address under which replicas fetch parts from
each other (ClickHouse issue 78632), nor listens for them. Two functions are therefore changed in
memory: one gives that address, and the other makes each second HTTP listener one for replicas.
The places are those of one build, and the launcher refuses any other one.
"""

import ctypes
import hashlib
import os
import sys
import threading
from struct import pack

BUILD = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5"
PLACE_IN_CACHE = "node/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"
PAGE = 4096
READ_WRITE_EXECUTE, READ_EXECUTE = 7, 5
PRIVATE_ANONYMOUS = 0x22

# Offsets in the file, and the first instructions there, which are moved into the detour.
INTERSERVER_ADDRESS = 0x1417C9C0, "4156534883ec484c8b36490fbe8e67010000"  # Context::getInterserverIOAddress
HANDLER_FACTORY = 0x18395CC0, "554157415641554154534881ec98000000"  # createHandlerFactory


def library_path():
    caches = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    cache = os.environ.get("KEYWATCH_CACHE", os.path.join(caches, "keywatch"))
    return os.environ.get("KEYWATCH_LIBCHDB", os.path.join(cache, PLACE_IN_CACHE))


def refuse(reason):
    print(reason, file=sys.stderr)
    sys.exit(3)


def check(path):
    if not os.path.exists(path):
        refuse(f"{path} is not installed")
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != BUILD:
        refuse(f"the cluster of the tests needs the libchdb.so whose SHA-256 begins with {BUILD[:8]}, not {found[:8]}")


def short_string(text):
    """A std::string of up to 22 bytes, as libc++ lays it out."""
    return text.ljust(23, b"\0") + bytes([len(text)])


def jump(to):
    return b"\x49\xbb" + pack("<Q", to) + b"\x41\xff\xe3"  # mov r11, to; jmp r11


class Patch:
    """Two pages: code for the detours, and data that they point to."""

    def __init__(self, base):
        self.base = base
        self.libc = ctypes.CDLL(None)
        self.libc.mmap.restype = ctypes.c_void_p
        pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        self.libc.mmap.argtypes = [pointer, size, number, number, number, ctypes.c_long]
        self.libc.mprotect.argtypes = [pointer, size, number]
        self.code = self.libc.mmap(None, 2 * PAGE, READ_WRITE_EXECUTE, PRIVATE_ANONYMOUS, -1, 0)
        self.data = self.code + PAGE

    def write(self, place, content):
        ctypes.memmove(place, content, len(content))

    def detour(self, function, stub, before):
        """Makes `function` run `before`, then its own first instructions, then the rest."""
        offset, first = function
        place, own = self.base + offset, bytes.fromhex(first)
        assert ctypes.string_at(place, len(own)) == own, "the function is elsewhere"
        self.write(stub, before + own + jump(place + len(own)))
        page = place & ~(PAGE - 1)
        assert self.libc.mprotect(page, 2 * PAGE, READ_WRITE_EXECUTE) == 0
        self.write(place, jump(stub))
        self.libc.mprotect(page, 2 * PAGE, READ_EXECUTE)

    def give_interserver_address(self, host, port):
        credentials = self.data + 192  # no user, no password, one empty pair
        self.write(credentials, bytes(48) + pack("<QQQ", self.data + 320, self.data + 368, self.data + 368))
        fields = {
            0x150: short_string(host),
            0x168: pack("<I", port),
            0x170: short_string(b"http"),
            0x1B0: pack("<QQ", credentials, 0),
        }
        stores = b"".join(
            b"\xc7\x80" + pack("<I", offset + at) + content[at : at + 4]  # mov dword [rax + offset], content
            for offset, content in fields.items()
            for at in range(0, len(content), 4)
        )
        self.detour(INTERSERVER_ADDRESS, self.code, b"\x48\x8b\x06" + stores)  # mov rax, [rsi]

    def listen_for_replicas(self):
        name = b"InterserverIOHTTPHandler-factory"
        self.write(self.data + 64, name + b"\0")
        self.write(self.data + 128, pack("<QQQ", self.data + 64, len(name), 1 << 63 | 48))  # a long std::string
        every_second = (
            b"\x48\xb8" + pack("<Q", self.data)  # mov rax, counter
            + b"\xff\x00\xf6\x00\x01\x75\x0a"  # inc dword [rax]; test byte [rax], 1; jnz over the next
            + b"\x48\xb9" + pack("<Q", self.data + 128)  # mov rcx, name
        )
        self.detour(HANDLER_FACTORY, self.code + 2048, every_second)


def base_of(name):
    with open("/proc/self/maps") as maps:
        return min(int(line.split("-")[0], 16) for line in maps if line.strip().endswith(name))


def serve(library, arguments):
    arguments = [b"clickhouse"] + [argument.encode() for argument in arguments]
    argv = (ctypes.c_char_p * (len(arguments) + 1))(*arguments, None)
    threading.stack_size(16 << 20)
    thread = threading.Thread(target=lambda: library.chdb_query_cmdline(len(arguments), argv))
    thread.start()
    thread.join()
    os._exit(0)


def main():
    path = library_path()
    check(path)
    if sys.argv[1:] == ["check"]:
        return
    host, port, *arguments = sys.argv[1:]
    library = ctypes.CDLL(path)
    patch = Patch(base_of("libchdb.so"))
    patch.give_interserver_address(host.encode(), int(port))
    patch.listen_for_replicas()
    serve(library, arguments)


main()
