"""A detector that looks for words and lets nothing through its gates: wrong on purpose."""

import json
import sys

for line in sys.stdin:
    text = bytes.fromhex(line).lower()
    print(json.dumps(["UE" if b"union" in text else None, b"<script" in text, False, False]))
