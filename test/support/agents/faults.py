#!/usr/bin/env python3
"""A cable with faults between two interfaces: faults.py IFACE IFACE SEED LOSS REORDER DUPLICATE CORRUPT

The last four are percentages of frames, in each direction: what is reordered is held back until three others have passed or 5 ms
are over, what is corrupted has one bit flipped, anywhere. Each direction draws from a generator of its own, as many
numbers a frame: the same seed and the same frames give the same faults. Prints "ready", and when it is ended (SIGTERM) what
it has done."""
import json
import random
import select
import signal
import socket
import sys
import time

IFACES = sys.argv[1:3]
SEED = int(sys.argv[3])
LOSS, REORDER, DUPLICATE, CORRUPT = (float(p) / 100 for p in sys.argv[4:8])
HELD_FRAMES = 3
HELD_SECONDS = 0.005
ALL = 3  # ETH_P_ALL
count = dict.fromkeys(("frames", "lost", "reordered", "duplicated", "corrupted"), 0)


class Direction:
    def __init__(self, source, sink, seed):
        self.source, self.sink = source, sink
        self.random = random.Random(seed)
        self.held = []  # [frame, frames that may still pass it, when it goes at the latest]

    def send(self, frame):
        try:
            self.sink.send(frame)
        except OSError:  # the queue is full, or the interface is down: a cable does not tell
            pass

    def receive(self):
        while True:
            try:
                frame, where = self.source.recvfrom(65536)
            except BlockingIOError:
                return
            if where[2] == socket.PACKET_OUTGOING:
                continue
            lost, reordered, duplicated, corrupted, place = (self.random.random() for _ in range(5))
            count["frames"] += 1
            if lost < LOSS:
                count["lost"] += 1
                continue
            if corrupted < CORRUPT:
                count["corrupted"] += 1
                bit = int(place * len(frame) * 8)
                frame = bytearray(frame)
                frame[bit >> 3] ^= 1 << (bit & 7)
            if reordered < REORDER:
                count["reordered"] += 1
                self.held.append([frame, HELD_FRAMES, time.monotonic() + HELD_SECONDS])
                continue
            self.send(frame)
            if duplicated < DUPLICATE:
                count["duplicated"] += 1
                self.send(frame)
            self.passed()

    def passed(self):
        for h in self.held:
            h[1] -= 1
        self.release()

    def release(self):
        now = time.monotonic()
        while self.held and (self.held[0][1] <= 0 or self.held[0][2] <= now):
            self.send(self.held.pop(0)[0])


def end(*_):
    print(json.dumps(count), flush=True)
    sys.exit(0)


def opened(iface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
    s.bind((iface, 0))
    # What is for others passes too.
    index = socket.if_nametoindex(iface)
    s.setsockopt(263, 1, index.to_bytes(4, sys.byteorder) + (1).to_bytes(2, sys.byteorder) + bytes(10))
    s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    s.setblocking(False)
    return s


signal.signal(signal.SIGTERM, end)
a, b = (opened(i) for i in IFACES)
directions = {a: Direction(a, b, SEED), b: Direction(b, a, SEED + 1)}
print("ready", flush=True)
while True:
    waiting = any(d.held for d in directions.values())
    readable, _, _ = select.select([a, b], [], [], 0.001 if waiting else 1)
    for s in readable:
        directions[s].receive()
    for d in directions.values():
        d.release()
