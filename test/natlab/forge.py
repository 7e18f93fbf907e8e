#!/usr/bin/env python3
"""forge.py - sends UDP datagrams from any address: lines `SRC SPORT DST DPORT HEX` on standard input. Needs root."""
import socket
import struct
import sys


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
sent = 0
for line in sys.stdin:
    src, sport, dst, dport, text = (line.rstrip("\n").split(" ") + [""])[:5]
    body = bytes.fromhex(text)
    ends = socket.inet_aton(src) + socket.inet_aton(dst)
    udp = struct.pack("!HHHH", int(sport), int(dport), 8 + len(body), 0) + body
    udp = udp[:6] + struct.pack("!H", checksum(ends + struct.pack("!HH", 17, len(udp)) + udp) or 0xFFFF) + udp[8:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), sent & 0xFFFF, 0, 64, 17, 0) + ends
    raw.sendto(head[:10] + struct.pack("!H", checksum(head)) + head[12:] + udp, (dst, 0))
    sent += 1
print(sent)
