"""The cases of the W3C trace-context suite, strict level 2, said anew as a table.

The names are those of https://github.com/w3c/trace-context/blob/main/test/test.py. A step is what a
client sends, and what the upstream must see: SAME or NEW trace id, members of tracestate that are
there, and members that are not.
"""

from dataclasses import dataclass, field

TRACE = "12345678901234567890123456789012"
PARENT = "1234567890123456"
SAME, NEW, ANY = "same", "new", "any"


@dataclass
class Step:
    headers: list
    trace: str = ANY
    members: list = field(default_factory=list)
    absent: list = field(default_factory=list)
    flags: int = 0


def parent(value, trace, name="traceparent"):
    return Step([(name, value)], trace)


def state(*values, members=(), absent=(), name="tracestate"):
    headers = [("traceparent", f"00-{TRACE}-{PARENT}-00")] + [(name, value) for value in values]
    return Step(headers, SAME, list(members), list(absent))


def parents(trace, *values):
    return [parent(value.format(T=TRACE, P=PARENT), trace) for value in values]


LOWER = "".join(map(chr, range(ord("a"), ord("z") + 1)))
KEY = LOWER + "0123456789_-*/"
VALUE = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) not in ",=")
BARS = [",".join(f"bar{n:02}={n:02}" for n in range(a, b)) for a, b in ((1, 11), (11, 21), (21, 31))]
OWS = ["foo=1", "bar=2", "baz=3"]

CASES = {
    "both_traceparent_and_tracestate_missing": [Step([], NEW)],
    "traceparent_included_tracestate_missing": parents(SAME, "00-{T}-{P}-01"),
    "traceparent_duplicated": [
        Step([("traceparent", f"00-{TRACE[:-1]}1-{PARENT}-01"), ("traceparent", f"00-{TRACE}-{PARENT}-01")], NEW)
    ],
    "traceparent_header_name": [
        parent(f"00-{TRACE}-{PARENT}-01", NEW, name) for name in ("trace-parent", "trace.parent")
    ],
    "traceparent_header_name_valid_casing": [
        parent(f"00-{TRACE}-{PARENT}-01", SAME, name)
        for name in ("TraceParent", "TrAcEpArEnT", "TRACEPARENT")
    ],
    "traceparent_version_0x00": parents(
        NEW, "00-{T}-{P}-01.", "00-{T}-{P}-01-what-the-future-will-be-like"
    ),
    "traceparent_version_0xcc": parents(
        SAME, "cc-{T}-{P}-01", "cc-{T}-{P}-01-what-the-future-will-be-like"
    )
    + parents(NEW, "cc-{T}-{P}-01.what-the-future-will-be-like"),
    "traceparent_version_0xff": parents(NEW, "ff-{T}-{P}-01"),
    "traceparent_version_illegal_characters": parents(NEW, ".0-{T}-{P}-01", "0.-{T}-{P}-01"),
    "traceparent_version_too_long": parents(NEW, "000-{T}-{P}-01", "0000-{T}-{P}-01"),
    "traceparent_version_too_short": parents(NEW, "0-{T}-{P}-01"),
    "traceparent_trace_id_all_zero": parents(NEW, "00-" + "0" * 32 + "-{P}-01"),
    "traceparent_trace_id_illegal_characters": parents(
        NEW, "00-." + TRACE[1:] + "-{P}-01", "00-" + TRACE[:-1] + ".-{P}-01"
    ),
    "traceparent_trace_id_too_long": parents(NEW, "00-{T}3-{P}-01"),
    "traceparent_trace_id_too_short": parents(NEW, "00-" + TRACE[:-1] + "-{P}-01"),
    "traceparent_parent_id_all_zero": parents(NEW, "00-{T}-" + "0" * 16 + "-01"),
    "traceparent_parent_id_illegal_characters": parents(
        NEW, "00-{T}-." + PARENT[1:] + "-01", "00-{T}-" + PARENT[:-1] + ".-01"
    ),
    "traceparent_parent_id_too_long": parents(NEW, "00-{T}-{P}7-01"),
    "traceparent_parent_id_too_short": parents(NEW, "00-{T}-" + PARENT[:-1] + "-01"),
    "traceparent_trace_flags_illegal_characters": parents(NEW, "00-{T}-{P}-.0", "00-{T}-{P}-0."),
    "traceparent_trace_flags_too_long": parents(NEW, "00-{T}-{P}-001"),
    "traceparent_trace_flags_too_short": parents(NEW, "00-{T}-{P}-1"),
    "traceparent_ows_handling": parents(
        SAME, " 00-{T}-{P}-01", "\t00-{T}-{P}-01", "00-{T}-{P}-01 ", "00-{T}-{P}-01\t", "\t 00-{T}-{P}-01 \t"
    ),
    "tracestate_included_traceparent_missing": [
        Step([("tracestate", "foo=1")], NEW, absent=["foo=1"]),
        Step([("tracestate", "foo=1,bar=2")], NEW, absent=["foo=1", "bar=2"]),
    ],
    "tracestate_included_traceparent_included": [state("foo=1,bar=2", members=["foo=1", "bar=2"])],
    "tracestate_header_name": [
        state("foo=1", name=name, absent=["foo=1"]) for name in ("trace-state", "trace.state")
    ],
    "tracestate_header_name_valid_casing": [
        state("foo=1", name=name, members=["foo=1"])
        for name in ("TraceState", "TrAcEsTaTe", "TRACESTATE")
    ],
    "tracestate_empty_header": [
        state(""),
        state("foo=1", "", members=["foo=1"]),
        state("", "foo=1", members=["foo=1"]),
    ],
    "tracestate_multiple_headers_different_keys": [
        state(
            "foo=1,bar=2", "rojo=1,congo=2", "baz=3",
            members=["foo=1", "bar=2", "rojo=1", "congo=2", "baz=3"],
        )
    ],
    "tracestate_duplicated_keys": [
        state("foo=1,foo=1", members=["foo=1"]),
        state("foo=1,foo=2", members=["foo=1"]),
        state("foo=1", "foo=1", members=["foo=1"]),
        state("foo=1", "foo=2", members=["foo=1"]),
    ],
    "tracestate_all_allowed_characters": [
        state(f"{key}={VALUE}", members=[f"{key}={VALUE}"]) for key in (KEY, KEY + "@a-z0-9_-*/")
    ],
    "tracestate_ows_handling": [
        state("foo=1 \t , \t bar=2, \t baz=3", members=OWS),
        state("foo=1\t \t,\t \tbar=2,\t \tbaz=3", members=OWS),
        state(" foo=1", members=OWS[:1]),
        state("\tfoo=1", members=OWS[:1]),
        state("foo=1 ", members=OWS[:1]),
        state("foo=1\t", members=OWS[:1]),
        state("\t foo=1 \t", members=OWS[:1]),
    ],
    "tracestate_key_illegal_characters": [
        state(member, absent=[member]) for member in ("foo =1", "FOO=1", "foo.bar=1")
    ],
    "tracestate_key_illegal_vendor_format": [
        state("foo@=1,bar=2", members=["foo@=1", "bar=2"]),
        state("@foo=1,bar=2", absent=["bar=2"]),
        state("foo@@bar=1,bar=2", members=["foo@@bar=1", "bar=2"]),
        state("foo@bar@baz=1,bar=2", members=["foo@bar@baz=1", "bar=2"]),
    ],
    "tracestate_member_count_limit": [
        state(*BARS, "bar31=31,bar32=32", members=["bar01=01", "bar32=32"]),
        state(*BARS, "bar31=31,bar32=32,bar33=33", absent=["bar01=01"]),
    ],
    "tracestate_key_length_limit": [
        state("foo=1", f"{key}=1", members=["foo=1", f"{key}=1"])
        for key in ("z" * 256, "t" * 241 + "@" + "v" * 14, "t" * 242 + "@v", "t@" + "v" * 15)
    ]
    + [state("foo=1", "z" * 257 + "=1", absent=["foo=1"])],
    "tracestate_value_illegal_characters": [
        state("foo=bar=baz", absent=["foo=bar=baz"]),
        state("foo=,bar=3", absent=["foo=", "bar=3"]),
    ],
    "multiple_requests_with_valid_traceparent": parents(SAME, *["00-{T}-{P}-01"] * 3),
    "multiple_requests_without_traceparent": [Step([], NEW)] * 3,
    "multiple_requests_with_illegal_traceparent": parents(NEW, *["00-" + "0" * 32 + "-{P}-01"] * 3),
    "propagates_random_flag": [Step([("traceparent", f"00-{TRACE}-{PARENT}-02")], SAME, flags=2)],
}
