#!/usr/bin/env python3
"""The end of an IP-in-IP tunnel without the kernel's module: ipip-end.py [IFACE]

Takes datagrams of protocol 4 (RFC 2003) out of the network, the kernel having put their fragments together, and hands what
is inside to the host as if it had come in by IFACE. Answers go the host's own way. Prints `ready`, and at the end (SIGTERM)
how many datagrams came."""
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys

iface = sys.argv[1] if len(sys.argv) > 1 else "tunnel"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
SO_RCVBUFFORCE = 33

tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", iface.encode(), IFF_TUN | IFF_NO_PI))
subprocess.run(["ip", "link", "set", iface, "mtu", "1500", "up"], check=True)
# The client is not reached by this interface.
with open(f"/proc/sys/net/ipv4/conf/{iface}/rp_filter", "w") as f:
    f.write("0")

raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IPIP)
raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
count = 0


def end(*_):
    print(count, flush=True)
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True:
    datagram = raw.recv(65535)
    count += 1
    os.write(tun, datagram[(datagram[0] & 15) * 4 :])
