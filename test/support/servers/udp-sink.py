#!/usr/bin/env python3
"""Takes datagrams on port 9 and never answers. Prints `ready`."""
import socket

sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink.bind(("", 9))
print("ready", flush=True)
while True:
    sink.recv(65535)
