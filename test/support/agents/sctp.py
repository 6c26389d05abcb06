#!/usr/bin/env python3
"""SCTP associations by raw sockets, where the kernel has no SCTP:

  sctp.py server ADDR PORT           answers on ADDR; prints "ready"
  sctp.py client ADDR PORT COUNT     COUNT associations, one after the other: each opens by four messages, has 20 pieces of data
                                     echoed and is shut down. Prints {"ok", "errors", "servers"}.

Every packet that arrives must have the right CRC32c (RFC 9260 appendix A) and verification tag, or it is not answered. Lost
packets are sent again."""
import json
import os
import socket
import struct
import sys

DATA, INIT, INIT_ACK, SACK, ABORT = 0, 1, 2, 3, 6
SHUTDOWN, SHUTDOWN_ACK, COOKIE_ECHO, COOKIE_ACK, SHUTDOWN_COMPLETE = 7, 8, 10, 11, 14
SCTP = 132
PIECES = 20
STATE_COOKIE = struct.pack("!HH", 7, 10) + b"cookie"

TABLE = []
for n in range(256):
    for _ in range(8):
        n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def chunk(kind, value=b"", flags=0):
    return struct.pack("!BBH", kind, flags, 4 + len(value)) + value + b"\0" * (-len(value) % 4)


def packet(sport, dport, tag, *chunks):
    raw = struct.pack("!HHII", sport, dport, tag, 0) + b"".join(chunks)
    return raw[:8] + struct.pack("<I", crc32c(raw)) + raw[12:]


def parse(raw):
    """Ports, tag and chunks of an IPv4 datagram, or None when its checksum is wrong."""
    p = raw[(raw[0] & 15) * 4 :]
    if struct.unpack("<I", p[8:12])[0] != crc32c(p[:8] + b"\0\0\0\0" + p[12:]):
        return None
    sport, dport, tag = struct.unpack("!HHI", p[:8])
    chunks, at = [], 12
    while at + 4 <= len(p):
        kind, _, length = struct.unpack("!BBH", p[at : at + 4])
        chunks.append((kind, p[at + 4 : at + length]))
        at += length + (-length % 4)
    return sport, dport, tag, chunks


def init(tag):
    return struct.pack("!IIHHI", tag, 65536, 1, 1, 1)


def serve(addr, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, SCTP)
    s.bind((addr, 0))
    name = socket.gethostname() if len(sys.argv) < 5 else sys.argv[4]
    print("ready", flush=True)
    own = {}
    while True:
        raw, (peer, _) = s.recvfrom(65535)
        got = parse(raw)
        if got is None or got[1] != port:
            continue
        sport, _, tag, chunks = got
        key = (peer, sport)
        ours, theirs = own.get(key, (0, 0))
        kinds = [k for k, _ in chunks]
        if kinds == [INIT] and tag == 0:
            theirs = struct.unpack("!I", chunks[0][1][:4])[0]
            ours = struct.unpack("!I", os.urandom(4))[0] | 1
            own[key] = (ours, theirs)
            answer = [chunk(INIT_ACK, init(ours) + STATE_COOKIE)]
        elif ours == 0 or tag != ours:
            continue
        else:
            answer = []
            for kind, value in chunks:
                if kind == COOKIE_ECHO:
                    answer.append(chunk(COOKIE_ACK))
                elif kind == DATA:
                    answer.append(chunk(SACK, struct.pack("!IIHH", struct.unpack("!I", value[:4])[0], 65536, 0, 0)))
                    answer.append(chunk(DATA, value[:12] + name.encode() + b" " + value[12:], 3))
                elif kind == SHUTDOWN:
                    answer.append(chunk(SHUTDOWN_ACK))
                elif kind == SHUTDOWN_COMPLETE:
                    own.pop(key, None)
        if answer:
            s.sendto(packet(port, sport, theirs, *answer), (peer, 0))


class Failed(Exception):
    pass


def associate(s, addr, port, sport, size):
    ours = struct.unpack("!I", os.urandom(4))[0] | 1

    def ask(tag, *chunks, want):
        for _ in range(8):
            s.sendto(packet(sport, port, tag, *chunks), (addr, 0))
            try:
                while True:
                    raw, (peer, _) = s.recvfrom(65535)
                    got = parse(raw)
                    if got is None:
                        raise Failed("wrong checksum")
                    if peer != addr or got[0] != port or got[1] != sport:
                        continue
                    found = [v for k, v in got[3] if k == want]
                    if got[2] == ours and found:
                        return found[0]
            except socket.timeout:
                continue
        raise Failed("no answer of type %d" % want)

    answer = ask(0, chunk(INIT, init(ours)), want=INIT_ACK)
    theirs = struct.unpack("!I", answer[:4])[0]
    ask(theirs, chunk(COOKIE_ECHO, answer[20:]), want=COOKIE_ACK)
    servers = set()
    for tsn in range(PIECES):
        data = bytes((tsn + i) & 255 for i in range(size * tsn // PIECES))
        value = struct.pack("!IHHI", tsn, 0, tsn, 0) + data
        name, _, echoed = ask(theirs, chunk(DATA, value, 3), want=DATA)[12:].partition(b" ")
        if echoed != data:
            raise Failed("wrong data")
        servers.add(name.decode())
    if len(servers) != 1:
        raise Failed("several servers")
    ask(theirs, chunk(SHUTDOWN, struct.pack("!I", 0)), want=SHUTDOWN_ACK)
    s.sendto(packet(sport, port, theirs, chunk(SHUTDOWN_COMPLETE)), (addr, 0))
    return servers.pop()


def run(addr, port, count):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, SCTP)
    s.settimeout(1)
    result = {"ok": 0, "errors": [], "servers": {}}
    for i in range(count):
        try:
            server = associate(s, addr, port, 30000 + i, 1400)
            result["ok"] += 1
            result["servers"][server] = result["servers"].get(server, 0) + 1
        except Failed as e:
            result["errors"].append(str(e))
    print(json.dumps(result))


if sys.argv[1] == "server":
    serve(sys.argv[2], int(sys.argv[3]))
else:
    run(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
