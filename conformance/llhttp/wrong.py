"""A parser that is wrong on purpose: it splits at bare line feeds and believes every Content-Length."""

import json
import sys


def frame(data):
    messages = []
    while data:
        head, _, data = data.replace(b"\r\n", b"\n").partition(b"\n\n")
        line, *lines = head.decode("latin-1").split("\n")
        fields = [line.split(":", 1) for line in lines if ":" in line]
        fields = [(name.strip().lower(), value.strip()) for name, value in fields]
        lengths = [value for name, value in fields if name == "content-length"]
        length = int(lengths[-1]) if lengths and lengths[-1].isdigit() else 0
        messages.append({
            "start": (line.split(" ") + ["", ""])[:2],
            "fields": [[name, value.encode("latin-1").hex()] for name, value in fields],
            "body": data[:length].hex(),
            "complete": True,
        })
        data = data[length:]
    return {"messages": messages, "end": "clean", "code": ""}


for line in sys.stdin:
    print(json.dumps(frame(bytes.fromhex(line.split(" ")[1]))), flush=True)
