#!/usr/bin/env python3
"""Sends mutated frames out of an interface: mutate.py IFACE COUNT SEED SRC_MAC DST_MAC SRC_IP VIP LIP

Starts from valid frames of every kind that the load balancer handles and damages each in one to four places: bits,
bytes, 16-bit fields with boundary values, lengths, truncation, trailing bytes. One frame in eight is sent whole. The seed makes
a run repeatable. Paced, so that the queue in front of the port does not overflow."""
import random
import socket
import struct
import sys
import time

iface, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
src_mac, dst_mac = (bytes.fromhex(m.replace(":", "")) for m in sys.argv[4:6])
src_ip, vip, lip = (socket.inet_aton(a) for a in sys.argv[6:9])
BURST = 32
BURST_SECONDS = 0.0008


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(proto, payload, dst, ttl=64, flags=0x4000, options=b""):
    ihl = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | ihl, 0, ihl * 4 + len(payload), 7, flags, ttl, proto, 0, src_ip, dst)
    head += options
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return dst_mac + src_mac + b"\x08\x00" + head + payload


def pseudo(proto, dst, segment, at):
    total = checksum(src_ip + dst + struct.pack("!HH", proto, len(segment)) + segment)
    return segment[:at] + struct.pack("!H", total) + segment[at + 2 :]


def tcp(dst, sport, dport, flags, options=b"", data=b""):
    off = (5 + len(options) // 4) << 4
    seg = struct.pack("!HHIIBBHHH", sport, dport, 1000, 0, off, flags, 64240, 0, 0) + options + data
    return pseudo(6, dst, seg, 16)


def udp(dst, sport, dport, data):
    return pseudo(17, dst, struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data, 6)


def icmp(kind, code, rest, data):
    body = struct.pack("!BBH", kind, code, 0) + rest + data
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


def arp(op, sha, spa, tha, tpa, dst=b"\xff" * 6):
    return dst + src_mac + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x0800, 6, 4, op) + sha + spa + tha + tpa + b"\0" * 18


MSS = b"\x02\x04\x05\xb4\x01\x01\x04\x02"
quoted = ip(6, tcp(vip, 5555, 80, 0x10), vip)[14:42]
SEEDS = [
    ip(6, tcp(vip, 40000, 80, 0x02, MSS), vip),
    ip(6, tcp(vip, 40001, 80, 0x18, b"", b"GET / HTTP/1.0\r\n\r\n"), vip),
    ip(6, tcp(vip, 40002, 80, 0x04), vip),
    ip(6, tcp(lip, 40003, 1025, 0x12, MSS), lip),
    ip(6, tcp(vip, 40004, 81, 0x02, MSS), vip),
    ip(17, udp(vip, 40005, 7, b"hello" * 20), vip),
    ip(17, udp(vip, 40006, 9, b""), vip),
    ip(17, udp(lip, 7, 1025, b"answer"), lip),
    ip(1, icmp(8, 0, b"\0\1\0\1", b"x" * 56), vip),
    ip(1, icmp(3, 4, b"\0\0\5\0", quoted), vip),
    ip(1, icmp(3, 1, b"\0\0\0\0", quoted), lip),
    ip(1, icmp(11, 0, b"\0\0\0\0", quoted), vip),
    ip(1, icmp(5, 1, src_ip, quoted), vip),
    ip(6, tcp(vip, 40007, 80, 0x02, MSS), vip, options=b"\x01\x01\x01\x00"),
    ip(6, tcp(vip, 40008, 80, 0x02, MSS), vip, options=b"\x83\x07\x04\x01\x02\x03\x04\x00"),
    ip(17, udp(vip, 40009, 7, b"f" * 40), vip, flags=0x2000),
    ip(17, udp(vip, 40010, 7, b"f" * 40), vip, flags=0x00B9),
    ip(6, tcp(vip, 40011, 80, 0x02, MSS), vip, ttl=1),
    ip(17, udp(socket.inet_aton("8.8.8.8"), 40012, 53, b"q" * 30), socket.inet_aton("8.8.8.8")),
    ip(132, b"\0" * 16, vip),
    arp(1, src_mac, src_ip, b"\0" * 6, vip),
    arp(1, src_mac, src_ip, b"\0" * 6, lip),
    arp(2, src_mac, src_ip, dst_mac, vip, dst_mac),
    dst_mac + src_mac + b"\x81\x00\x00\x07\x08\x00" + ip(17, udp(vip, 1, 7, b"v" * 30), vip)[14:],
    dst_mac + src_mac + b"\x86\xdd" + b"\x60" + b"\0" * 50,
    dst_mac + src_mac + b"\x88\xcc" + b"\0" * 40,
]
EDGES = (0, 1, 19, 20, 21, 27, 28, 0x7F, 0xFF, 0x100, 1499, 1500, 1501, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
rand = random.Random(seed)


def damage(frame):
    frame = bytearray(frame)
    for _ in range(rand.randint(1, 4)):
        how = rand.randrange(7)
        # Mostly headers: that's where decisions are made.
        at = rand.randrange(12, max(13, min(len(frame), 62) if rand.random() < 0.9 else len(frame)))
        if at >= len(frame) - 1:
            at = max(0, len(frame) - 2)
        if how == 0:
            frame[at] ^= 1 << rand.randrange(8)
        elif how == 1:
            frame[at] = rand.randrange(256)
        elif how == 2:
            frame[at : at + 2] = struct.pack("!H", rand.choice(EDGES))
        elif how == 3 and len(frame) > 15:
            del frame[rand.randrange(14, len(frame)) :]
        elif how == 4:
            frame += rand.randbytes(rand.randrange(1, 64))
        elif how == 5 and len(frame) > 16:
            del frame[at : at + rand.randrange(1, 8)]
        else:
            frame[rand.randrange(0, 6)] ^= 1 << rand.randrange(8)
        if len(frame) < 16:
            break
    # With damaged IPv4 headers the checksum would nearly always be the first thing wrong: half of them get a right one.
    if len(frame) >= 34 and frame[12:14] == b"\x08\x00" and rand.random() < 0.5:
        size = (frame[14] & 15) * 4
        if size >= 20 and 14 + size <= len(frame):
            frame[24:26] = b"\0\0"
            frame[24:26] = struct.pack("!H", checksum(bytes(frame[14 : 14 + size])))
    return bytes(frame[:1514]) if len(frame) >= 14 else bytes(frame) + b"\0" * (14 - len(frame))


sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
sock.bind((iface, 0))
due = time.monotonic()
sent = refused = 0
for i in range(count):
    frame = rand.choice(SEEDS)
    if i % 8:
        frame = damage(frame)
    try:
        sock.send(frame)
        sent += 1
    except OSError:
        refused += 1
    if i % BURST == BURST - 1:
        due += BURST_SECONDS
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        elif wait < -0.05:
            due = time.monotonic()
print('{"sent": %d, "refused": %d}' % (sent, refused))
