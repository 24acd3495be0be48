# Runs a program that a model wrote, then answers what its tests ask of it. Whatever happens in this process is the
# program's doing: it can read and change all that is here. So nothing here knows what the tests expect, and nothing
# said here is a verdict: answers are data, which the checker compares in a process of its own.
#
# A question is a line of JSON on the first standard input, an answer one on the first standard output. What the
# program prints goes to standard error. A value that is no plain data stays here and travels as a number.
import builtins
import json
import os
import sys

SCALARS = (bool, int, float, str)


class Objects:
    """What the checker knows by number."""

    def __init__(self):
        self.kept = []

    def encode(self, value):
        if value is None or type(value) in SCALARS:
            return value
        for kind in SCALARS:
            if isinstance(value, kind):
                return kind(value)
        many = lambda values: [self.encode(one) for one in values]
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
        if isinstance(value, type) and getattr(builtins, value.__name__, None) is value:
            return {"builtin": value.__name__}
        if isinstance(value, type(sys)):
            return {"module": value.__name__}
        name = "%s.%s" % (type(value).__module__, type(value).__name__)
        if name == "collections.deque":
            return {"deque": many(value)}
        if name in ("decimal.Decimal", "fractions.Fraction"):
            return {name: str(value)}
        if name in ("datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta"):
            if getattr(value, "tzinfo", None) is None:
                return {name: fields_of(value)}
        return self.keep(value)

    def keep(self, value):
        self.kept.append(value)
        return {"object": len(self.kept) - 1}

    def decode(self, data):
        if not isinstance(data, dict):
            return data
        ((kind, inner),) = data.items()
        if kind == "object":
            return self.kept[inner]
        many = lambda: [self.decode(one) for one in inner]
        if kind in ("list", "tuple", "set", "frozenset"):
            return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](many())
        if kind == "dict":
            return {self.decode(key): self.decode(value) for key, value in inner}
        if kind in ("bytes", "bytearray"):
            return {"bytes": bytes, "bytearray": bytearray}[kind].fromhex(inner)
        if kind in ("complex", "range"):
            return {"complex": complex, "range": range}[kind](*inner)
        if kind == "builtin":
            return getattr(builtins, inner)
        if kind == "deque":
            return __import__("collections").deque(many())
        module, name = kind.split(".")
        kind = getattr(__import__(module), name)
        return kind(*inner) if isinstance(inner, list) else kind(inner)


def fields_of(value):
    names = {
        "date": "year month day",
        "datetime": "year month day hour minute second microsecond",
        "time": "hour minute second microsecond",
        "timedelta": "days seconds microseconds",
    }
    return [getattr(value, name) for name in names[type(value).__name__].split()]


def answer(objects, main, question):
    (kind, inner), = question.items()
    if kind == "import":
        exec(inner, main.__dict__)
        return {"value": None}
    if kind == "name":
        known = inner in main.__dict__
        return {"value": objects.encode(main.__dict__[inner])} if known else {"missing": True}
    value = objects.kept[inner[0]]
    if kind == "next":
        try:
            return {"value": objects.encode(next(value))}
        except StopIteration:
            return {"stop": True}
    if kind == "call":
        arguments = [objects.decode(one) for one in inner[1]]
        named = {name: objects.decode(one) for name, one in inner[2].items()}
        result = value(*arguments, **named)
        found = {"value": objects.encode(result)}
        if result is None:
            # It may have changed what it was given.
            found["arguments"] = [objects.encode(one) for one in arguments]
        return found
    if kind == "set":
        setattr(value, inner[1], objects.decode(inner[2]))
        return {"value": None}
    if kind == "put":
        value[objects.decode(inner[1])] = objects.decode(inner[2])
        return {"value": None}
    if kind == "iter":
        return {"value": objects.keep(iter(value))}
    simple = {
        "get": lambda: getattr(value, inner[1]),
        "item": lambda: value[objects.decode(inner[1])],
        "len": lambda: len(value),
        "bool": lambda: bool(value),
        "str": lambda: str(value),
        "repr": lambda: repr(value),
    }
    return {"value": objects.encode(simple[kind]())}


def serve(asked, answers, main):
    objects = Objects()
    for line in asked:
        question = json.loads(line.decode())
        if "run" in question:
            # An error or an exit ends this process, as it would end a script.
            exec(compile(question["run"], "program", "exec"), main.__dict__)
            said = {"value": None}
        else:
            try:
                said = answer(objects, main, question)
            except Exception as error:
                said = {"raise": [type(error).__name__, str(error)]}
        answers.write(json.dumps(said).encode() + b"\n")
        answers.flush()


def begin():
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    main = type(sys)("__main__")
    sys.modules["__main__"] = main
    serve(asked, answers, main)


begin()
