#!/usr/bin/env python3
"""coprocess.py NAME: sends each line of standard input as a message, through one p2p-send that stays open, and prints
what became of it: the number of the line and `delivered`, or `deferred` with the reason.

A message is known by its `ref`, which comes back in every record about it. One thread writes and one reads: a pipe
that nobody reads fills up, and then p2p-send takes nothing more until it is read."""

import json
import subprocess
import sys
import threading

send = subprocess.Popen(
    ["p2p-send", "--ndjson", "--wait", "10m"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
)


def write():
    for number, line in enumerate(sys.stdin, 1):
        record = {"to": sys.argv[1], "text": line.rstrip("\n"), "ref": number}
        send.stdin.write(json.dumps(record) + "\n")
        send.stdin.flush()
    send.stdin.close()


threading.Thread(target=write, daemon=True).start()
for line in send.stdout:
    record = json.loads(line)
    if record["type"] in ("delivered", "deferred", "failed", "error"):
        print(record.get("ref"), record["type"], record.get("reason", ""), flush=True)
sys.exit(send.wait())
