"""The cases of autobahntestsuite, which is Python 2, made to load in Python 3.

A byte string of Python 2 becomes a str whose characters are bytes (Latin-1), so that the cases keep
their meaning; `peer` speaks the same.
"""

import builtins
import codecs
import importlib.abc
import importlib.metadata
import importlib.util
import pathlib
import re
import sys
import types

from peer import Peer

# Python 2 and what became of it.
REWRITES = [
    (re.compile(r"^(\s*)print\b.*$", re.M), r"\1pass"),
    (re.compile(r"\(object, Case, ?\)"), "(Case, )"),
    (re.compile(r"binascii\.b2a_hex\("), "repr("),
    (re.compile(r" / self\.p\."), " // self.p."),
]
# 12 and 13 compress; a proxy that passes the bytes of 1 to 10 passes theirs.
COMPRESSION = "case12_x_x"


def read():
    """Returns the suite's version and its case classes."""
    package = pathlib.Path(importlib.util.find_spec("autobahntestsuite").origin).parent
    sys.meta_path.insert(0, Finder(package / "case"))
    builtins.xrange = range
    stub("autobahn.websocket.protocol", WebSocketProtocol=Peer)
    stub("autobahn.websocket.utf8validator", Utf8Validator=Utf8Validator)
    stub("autobahn.websocket.compress")
    stub("zope.interface", implements=lambda *interfaces: None)
    stub("twisted.internet", reactor=None, interfaces=types.SimpleNamespace(IPushProducer=None))
    stub(COMPRESSION, Case12_X_X=[], Case13_X_X=[])
    sys.modules[COMPRESSION].Case12_X_X_CaseSubCategories = {}
    sys.modules[COMPRESSION].Case13_X_X_CaseSubCategories = {}
    module = importlib.import_module("autobahn_cases")
    module.Case.compare = lambda self, one, other: one == other
    return importlib.metadata.version("autobahntestsuite"), module.Cases


def stub(name, **contents):
    parts = name.split(".")
    for i in range(1, len(parts)):
        sys.modules.setdefault(".".join(parts[:i]), types.ModuleType(parts[i - 1]))
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(contents)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the suite's modules by the short names that they use for each other."""

    def __init__(self, folder):
        self.folder = folder

    def find_spec(self, name, path=None, target=None):
        file = self.folder / ("__init__.py" if name == "autobahn_cases" else f"{name}.py")
        if name in sys.builtin_module_names or not file.is_file():
            return None
        return importlib.util.spec_from_file_location(name, file, loader=self)

    def exec_module(self, module):
        text = pathlib.Path(module.__spec__.origin).read_text("latin-1")
        for pattern, replacement in REWRITES:
            text = pattern.sub(replacement, text)
        exec(compile(text, module.__spec__.origin, "exec"), vars(module))


class Utf8Validator:
    """As far as the cases use the one of autobahn."""

    def reset(self):
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def validate(self, text):
        """Returns whether `text` is valid so far, and whether it ends with a whole character."""
        try:
            self.decoder.decode(text.encode("latin-1"))
        except UnicodeDecodeError:
            return False, False
        return True, not self.decoder.getstate()[0]
