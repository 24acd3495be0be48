# Runs the tests of a program that runs in another process, and ends with 0 if every statement of them was run.
#
# Names that the tests use and do not define are the program's; calling one sends the arguments there and brings the
# result back as plain data (see program.py), so that what is expected never leaves this process and equality is
# decided here. An object that is no plain data equals nothing but itself, whatever its class says. A builtin that
# the program defines anew is this process's own, unless the tests call nothing else of the program; so are the
# standard library's modules. Ends with 3 where the program has ended before its tests.
import ast
import builtins
import importlib
import importlib.util
import json
import os
import sys

GONE = 3
SCALARS = (bool, int, float, str)


class ProgramError(Exception):
    """An error of a class that is the program's own."""


class Line:
    """To the program and back."""

    def __init__(self):
        self.asked, self.answers = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")

    def ask(self, kind, inner):
        try:
            self.asked.write(json.dumps({kind: inner}).encode() + b"\n")
            self.asked.flush()
            answer = self.answers.readline()
        except OSError:
            answer = b""
        if not answer.endswith(b"\n"):
            os._exit(GONE)
        said = json.loads(answer.decode())
        if not isinstance(said, dict):
            raise ProgramError("an answer that is none")
        if "raise" in said:
            raise error(*said["raise"])
        return said

    def value(self, kind, inner):
        return decode(self.ask(kind, inner)["value"])


def error(name, message):
    # These end the loops of others early, without a word: all(map(...)) over no case is true.
    is_silent = name in ("StopIteration", "StopAsyncIteration")
    kind = getattr(builtins, str(name), None)
    if isinstance(kind, type) and issubclass(kind, Exception) and not is_silent:
        try:
            return kind(str(message))
        except TypeError:
            pass
    return ProgramError("%s: %s" % (name, message))


class Remote:
    """An object of the program."""

    __slots__ = ("_number",)

    def __init__(self, number):
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments, **named):
        named_too = {name: encode(one) for name, one in named.items()}
        said = LINE.ask("call", [self._number, [encode(one) for one in arguments], named_too])
        for mine, theirs in zip(arguments, said.get("arguments", ())):
            change(mine, decode(theirs))
        return decode(said["value"])

    def __getattr__(self, name):
        return LINE.value("get", [self._number, name])

    def __setattr__(self, name, value):
        LINE.ask("set", [self._number, name, encode(value)])

    def __getitem__(self, key):
        return LINE.value("item", [self._number, encode(key)])

    def __setitem__(self, key, value):
        LINE.ask("put", [self._number, encode(key), encode(value)])

    def __iter__(self):
        walk = LINE.value("iter", [self._number])
        while True:
            said = LINE.ask("next", [walk._number])
            if "stop" in said:
                return
            yield decode(said["value"])

    def __next__(self):
        said = LINE.ask("next", [self._number])
        if "stop" in said:
            raise StopIteration
        return decode(said["value"])

    def __len__(self):
        return LINE.value("len", [self._number])

    def __bool__(self):
        return LINE.value("bool", [self._number])

    def __str__(self):
        return LINE.value("str", [self._number])

    def __repr__(self):
        return LINE.value("repr", [self._number])

    def __eq__(self, other):
        return type(other) is Remote and other._number == self._number

    def __hash__(self):
        return hash(self._number)


def encode(value):
    if value is None or type(value) in SCALARS:
        return value
    if type(value) is Remote:
        return {"object": value._number}
    for kind in SCALARS:
        if isinstance(value, kind):
            return kind(value)
    many = lambda values: [encode(one) for one in values]
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return {kind.__name__: many(value)}
    if isinstance(value, dict):
        return {"dict": [many(pair) for pair in value.items()]}
    if isinstance(value, (bytes, bytearray)):
        return {type(value).__name__: value.hex()}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, range):
        return {"range": [value.start, value.stop, value.step]}
    if getattr(builtins, str(getattr(value, "__name__", "")), None) is value:
        return {"builtin": value.__name__}
    name = "%s.%s" % (type(value).__module__, type(value).__name__)
    if name == "collections.deque":
        return {"deque": many(value)}
    if name in ("decimal.Decimal", "fractions.Fraction"):
        return {name: str(value)}
    if name in FIELDS and getattr(value, "tzinfo", None) is None:
        return {name: [getattr(value, field) for field in FIELDS[name].split()]}
    raise TypeError("a test hands the program a %s, which is no plain data" % name)


FIELDS = {
    "datetime.date": "year month day",
    "datetime.datetime": "year month day hour minute second microsecond",
    "datetime.time": "hour minute second microsecond",
    "datetime.timedelta": "days seconds microseconds",
}
CONTAINERS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
EXACT = ("decimal.Decimal", "fractions.Fraction")


def decode(data):
    """Plain data and numbers of objects; nothing else is made of what the program says."""
    if data is None or type(data) in SCALARS:
        return data
    if not isinstance(data, dict) or len(data) != 1:
        raise ProgramError("an answer that is no value")
    ((kind, inner),) = data.items()
    if kind == "object" and type(inner) is int:
        return Remote(inner)
    if kind in CONTAINERS:
        return CONTAINERS[kind](decode(one) for one in inner)
    if kind == "dict":
        return {decode(key): decode(value) for key, value in inner}
    if kind in ("bytes", "bytearray"):
        return (bytes if kind == "bytes" else bytearray).fromhex(inner)
    if kind in ("complex", "range"):
        return (complex if kind == "complex" else range)(*inner)
    if kind == "builtin" and isinstance(getattr(builtins, str(inner), None), type):
        return getattr(builtins, inner)
    if kind == "deque":
        return importlib.import_module("collections").deque(decode(one) for one in inner)
    if kind in EXACT or kind in FIELDS:
        module, name = kind.split(".")
        made = getattr(importlib.import_module(module), name)
        return made(str(inner)) if kind in EXACT else made(*map(int, inner))
    raise ProgramError("an answer that is no value")


def change(mine, theirs):
    """What a call that returned nothing has made of an argument."""
    if type(mine) is not type(theirs):
        return
    if isinstance(mine, (list, bytearray)):
        mine[:] = theirs
    elif isinstance(mine, (dict, set)):
        mine.clear()
        mine.update(theirs)


class Names(dict):
    """The tests' names; one that is not there is the program's, see above."""

    def __init__(self, tests):
        super().__init__(__name__="tests", __builtins__=builtins)
        nodes = list(ast.walk(tests))
        own = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
        own |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        for node in nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                own |= {(name.asname or name.name).split(".")[0] for name in node.names}
        of_dots = (node.value for node in nodes if isinstance(node, ast.Attribute))
        self.dotted = {node.id for node in of_dots if isinstance(node, ast.Name)}
        of_calls = (node.func for node in nodes if isinstance(node, ast.Call))
        called = {node.id for node in of_calls if isinstance(node, ast.Name)} - own
        # What is only handed on (`check(f)`) or renamed is the program's as well.
        read = {node.id for node in nodes if isinstance(node, ast.Name)} - own
        foreign = {
            name for name in read
            if not hasattr(builtins, name) and not (name in self.dotted and is_library(name))
        }
        self.hidden = set(dir(builtins)) - (set() if foreign else called)

    def __missing__(self, name):
        if name in self.hidden:
            raise KeyError(name)
        said = LINE.ask("name", name)
        if "missing" in said:
            raise KeyError(name)
        if name in self.dotted and is_library(name):
            return importlib.import_module(name)
        return decode(said["value"])


def is_library(name):
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def imports(tests):
    """The tests' imports, which are the program's, too: it may use them when it is called."""
    for node in tests.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = ", ".join("%s as %s" % (name.name, name.asname) if name.asname else name.name for name in node.names)
            start = "from %s " % node.module if isinstance(node, ast.ImportFrom) else ""
            yield "%simport %s" % (start, names)


def read(name):
    with open(name, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return file.read()


def begin():
    global LINE
    program, tests = read("program"), read("tests")
    LINE = Line()
    os.dup2(2, 1)
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    LINE.ask("run", program)
    tree = ast.parse(tests, "tests")
    for line in imports(tree):
        try:
            LINE.ask("import", line)
        except Exception:
            # The tests' own import says so.
            pass
    try:
        exec(compile(tree, "tests", "exec"), Names(tree))
    except SystemExit:
        sys.stderr.write("the tests ended before their last statement\n")
        sys.stderr.flush()
        os._exit(1)


begin()
