"""llhttp's Markdown corpus: messages as bytes, with the offsets at which llhttp saw them begin."""

import json
import re
from dataclasses import dataclass

BLOCK = r"```%s\n(?P<%s>(?:(?!```).*\n)*)```\n"
CASE = re.compile(
    r"^<!-- meta=(?P<meta>[^\n]*?) -->\n+"
    + BLOCK % ("http", "input")
    + r"(?:(?!<!--|```).*\n)*"
    + BLOCK % ("log", "log"),
    re.M,
)


@dataclass
class Case:
    name: str
    kind: str  # "request" or "response"
    data: bytes


def read(folder):
    """Yields every case below `folder` that is a whole request or response."""
    for path in sorted(folder.glob("re*/*.md")):
        yield from read_file(path, path.parent.name)


def read_seeds(folder):
    """Yields our own seeds of the head gate: one file per message."""
    for path in sorted(folder.iterdir()):
        kind = "response" if path.name.startswith("response") else "request"
        yield Case(f"seed: {path.name}", kind, path.read_bytes())


def read_file(path, kind):
    text = path.read_text()
    names = {}
    for match in CASE.finditer(text):
        headings = re.findall(r"^#+ (.*)$", text[: match.start("input")], re.M)
        title = f"{kind}/{path.stem}: {headings[-1] if headings else path.stem}"
        names[title] = names.get(title, 0) + 1
        if names[title] > 1:
            title = f"{title} ({names[title]})"
        meta = json.loads(match["meta"])
        if not meta.get("type", kind).startswith(kind):
            continue
        begins = [int(n) for n in re.findall(r"^off=(\d+) message begin$", match["log"], re.M)]
        data = unescape(match["input"])
        yield Case(title, kind, with_host(data, begins) if kind == "request" else data)


def unescape(text):
    """What llhttp's own test runner makes of a block."""
    text = text.removesuffix("\n")
    text = re.sub(r"\\\n", "", text)
    text = text.replace("\n", "\r\n")
    for escape, char in (("\\r", "\r"), ("\\n", "\n"), ("\\t", "\t"), ("\\f", "\f")):
        text = text.replace(escape, char)
    text = re.sub(r"\\x([0-9a-fA-F]{2})", lambda hex: chr(int(hex[1], 16)), text)
    return text.encode("latin-1", "replace") if max(map(ord, text), default=0) < 256 else text.encode()


def with_host(data, begins):
    """llhttp does not ask for Host, which every request since RFC 9112 must have: puts it in."""
    for begin in reversed(begins):
        end = data.find(b"\r\n\r\n", begin)
        head = data[begin : end if end >= 0 else len(data)]
        line, _, fields = head.partition(b"\r\n")
        if b" HTTP/1.1" not in line or not fields and end < 0 or re.search(rb"(?im)^host\s*:", fields):
            continue
        at = begin + len(line) + 2
        data = data[:at] + b"Host: " + host(line) + b"\r\n" + data[at:]
    return data


def host(line):
    """What Host must say for this request line."""
    method, target, *_ = line.split(b" ") + [b""]
    if method == b"CONNECT":
        return target
    absolute = re.match(rb"\w+://([^/?#]*)", target)
    return absolute[1] if absolute else b"example.com"
