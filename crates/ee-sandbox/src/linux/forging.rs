//! Programs that do not compute what their tests expect, and try to pass anyway; and honest ones whose tests
//! need more than numbers.

use super::tests::sandbox;
use super::*;

/// What a forger does besides giving a wrong answer. Each would succeed, or would be a step towards it, where tests
/// run in the interpreter of the program.
const FORGERS: &[&str] = &[
    // Ends early, in every way.
    "import os\nos._exit(0)",
    "import sys\nsys.exit(0)",
    "raise SystemExit(0)",
    "import atexit, os\natexit.register(os._exit, 0)",
    "import os, sys\nsys.excepthook = lambda *_: os._exit(0)",
    "def answer():\n    import os\n    os._exit(0)",
    "def answer():\n    raise SystemExit(0)",
    "def answer():\n    raise StopIteration",
    "class Late:\n    def __del__(self):\n        import os\n        os._exit(0)\nlate = Late()",
    "import os\nos.execv('/bin/true', ['true'])",
    // Looks for a secret in frames, objects and memory, and says whatever it finds on every open file.
    "import os, sys
found, frame = [], sys._getframe()
while frame:
    found += [value for value in frame.f_locals.values() if isinstance(value, (str, bytes))]
    frame = frame.f_back
for text in found:
    for fd in range(3, 64):
        try: os.write(fd, text if isinstance(text, bytes) else text.encode())
        except OSError: pass
os._exit(0)",
    "import inspect, os
for frame in inspect.stack():
    for name in list(frame.frame.f_globals) + list(frame.frame.f_locals):
        if 'exit' in name: os._exit(0)
os._exit(0)",
    "import sys, os
try: raise ValueError
except ValueError:
    frame = sys.exc_info()[2].tb_frame
    while frame.f_back: frame = frame.f_back
    frame.f_globals.update(answer=lambda *_: {'value': 42}, serve=None, json=None)
    os._exit(0)",
    "import gc
for thing in gc.get_objects():
    if isinstance(thing, dict) and 'said' in thing: thing['said'] = {'value': 42}
    if type(thing).__name__ == 'function': thing.__defaults__ = (42,)",
    "import ctypes\nctypes.memset(id(1000) + 24, 255, 4)\nctypes.pythonapi.PyErr_Clear()",
    // Takes over what the interpreter itself calls.
    "import builtins
builtins.AssertionError = type('Fine', (Exception,), {})
builtins.exec = builtins.compile = builtins.isinstance = builtins.getattr = lambda *_, **__: None",
    "import json\njson.dumps = lambda *_: '{\"value\": {\"object\": 0}}'",
    "import json\njson.dumps = lambda *_: '[]'",
    "import json\njson.dumps = lambda *_: 'true'",
    "import json\njson.dumps = lambda *_: 'passed'",
    "import json\njson.dumps = lambda *_: '{\"value\": {\"module\": \"unittest.mock\"}}'",
    "import json\njson.dumps = lambda *_: '{\"value\": ' + '[' * 100000 + ']' * 100000 + '}'",
    "import sys
def trace(frame, event, argument):
    if event == 'return' and frame.f_code.co_name == 'answer': frame.f_locals['value'] = 42
    return trace
sys.settrace(trace)
sys.setprofile(trace)",
    "import signal, os
signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
signal.setitimer(signal.ITIMER_REAL, 0.05)
def answer():
    while True: pass",
    // Answers before it is asked, on every open file.
    "import os
for fd in range(1, 64):
    try: os.write(fd, b'{\"value\": null}\\n' * 50)
    except OSError: pass",
    "import os
for fd in range(1, 64):
    try: os.write(fd, b'\\0' * 3)
    except OSError: pass
os._exit(0)",
    // Goes to the process that decides.
    "import os
mine = os.getpid()
for pid in [os.getppid(), mine + 1, mine - 1]:
    for name in ['mem', 'maps', 'environ', 'fd/0', 'fd/1', 'cwd/program']:
        try: open('/proc/%d/%s' % (pid, name), 'r+b').write(b'x')
        except OSError: continue
        os._exit(0)",
    "import threading\nthreading.Thread(target=print).start()",
    // Objects that are equal to everything.
    "class Any:
    def __eq__(self, other): return True
    __ne__ = __lt__ = lambda self, other: False
    __hash__ = lambda self: 42
answer = Any",
    "class Any(int):
    __eq__ = lambda self, other: True
answer = lambda: Any(1)",
    "class Any(list):
    __eq__ = lambda self, other: True
    __contains__ = lambda self, other: True
answer = lambda: Any([1])",
    "class Meta(type):
    __eq__ = lambda self, other: True
    __hash__ = lambda self: 42
class Any(metaclass=Meta): pass
answer = lambda: Any",
];

#[test]
fn a_wrong_answer_passes_no_test_whatever_the_program_does() {
    let Some(sandbox) = sandbox() else { return };
    for tests in ["assert answer() == 42", "assert all(map(lambda one: answer() == one, [42]))"] {
        for forger in FORGERS {
            let program = format!("def answer():\n    return 0\n{forger}\n");
            let outcome = sandbox.check(&program, tests).expect("it runs");
            assert_ne!(outcome, Outcome::Passed, "{tests}\n{program}");
        }
        let honest = "def answer():\n    return 42";
        assert_eq!(sandbox.check(honest, tests).expect("it runs"), Outcome::Passed);
    }
}

#[test]
fn what_the_tests_compare_with_is_not_the_programs() {
    let Some(sandbox) = sandbox() else { return };
    for (program, tests) in [
        // A builtin, a module and a name of the tests, redefined.
        ("def f(): return []\ndef set(_): return 1", "assert set(f()) == set([1, 2])"),
        (
            "def f(): return []\ndef sorted(_): return 1\nlen = sorted",
            "assert sorted(f()) == [1] or len(f()) == 1",
        ),
        (
            "import sys\nclass Fake:\n    isclose = staticmethod(lambda *_: True)\nmath = sys.modules['math'] = Fake\nopen('math.py', 'w').write('isclose = bool')\ndef f(): return 0.0",
            "import math\nassert math.isclose(f(), 2.5)",
        ),
        (
            "class Fake:\n    isclose = staticmethod(lambda *_: True)\nmath = Fake\ndef f(): return 0.0",
            "assert math.isclose(f(), 2.5)",
        ),
        // The same where the tests hand the function on, rename it or ask a method.
        (
            "def f(x): return 7.0\ndef abs(_): return 0",
            "def check(candidate):\n    assert abs(candidate(3.5) - 0.5) < 1e-6\ncheck(f)",
        ),
        ("def f(x): return 7.0\ndef abs(_): return 0", "g = f\nassert abs(g(3.5) - 0.5) < 1e-6"),
        (
            "class A:\n    def go(self): return []\na = A()\ndef len(_): return 2",
            "assert len(a.go()) == 2",
        ),
        ("expected = 0\ndef f(): return 0", "expected = 1\nassert f() == expected"),
        // A result that would be what it is compared with.
        ("def f(x):\n    x[:] = [0]\n    return [0]", "x = [3, 1]\nassert f(x) == x"),
        ("def f(x): return x", "assert [f(1)] != [1]"),
        // An object that says of itself what it contains or is.
        (
            "class All:\n    __contains__ = lambda *_: True\n    __iter__ = lambda _: iter([])\nf = All",
            "assert 5 in f()",
        ),
        ("class All:\n    __lt__ = __gt__ = __sub__ = lambda *_: True\nf = All", "assert f() < 5"),
        (
            "class All:\n    __lt__ = __rsub__ = __sub__ = lambda *_: 0\nf = All",
            "assert abs(f() - 5) < 1",
        ),
    ] {
        let outcome = sandbox.check(program, tests).expect("it runs");
        assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}\n{program}\n{tests}");
    }
}

#[test]
fn honest_programs_pass_the_tests_that_people_write() {
    let Some(sandbox) = sandbox() else { return };
    for (program, tests) in [
        (
            "def f(x): return [x, (x,), {x}, {x: None}, frozenset([x]), b'a', 1j, True, 'ä']",
            "assert f(1) == [1, (1,), {1}, {1: None}, frozenset([1]), b'a', 1j, True, 'ä']\nassert type(f(1)[1]) is tuple",
        ),
        ("def f(n): return n ** 3000", "assert f(7) == 7 ** 3000"),
        (
            "def f(): return float('nan'), float('inf'), -0.0",
            "import math\na, b, c = f()\nassert a != a and b == math.inf and math.copysign(1, c) == -1",
        ),
        ("def f(x, *, by=1): return x + by", "assert f(1, by=2) == 3 and f(x=1) == 2"),
        (
            "def f(x):\n    if x < 0: raise ValueError('below')\n    return x ** 0.5",
            "import math\nassert math.isclose(f(2), 1.41421356, rel_tol=1e-6)\ntry:\n    f(-1)\n    assert False\nexcept ValueError as error:\n    assert str(error) == 'below'",
        ),
        (
            "class Node:\n    def __init__(self, value):\n        self.value, self.left = value, None\ndef depth(node): return 0 if node is None else 1 + depth(node.left)",
            "root = Node(1)\nroot.left = Node(2)\nroot.left.left = Node(3)\nassert depth(root) == 3 and depth(root.left) == 2\nassert root.left.value == 2 and root == root and root != root.left",
        ),
        (
            "def f(n):\n    for at in range(n): yield at",
            "assert list(f(3)) == [0, 1, 2] and sum(f(4)) == 6\nassert next(f(1)) == 0",
        ),
        ("def f(items): items.sort()", "x = [3, 1, 2]\nf(x)\nassert x == [1, 2, 3]"),
        ("def f(d): d['b'] = 2", "d = {'a': 1}\nf(d)\nassert d == {'a': 1, 'b': 2}"),
        ("def sum(a, b): return a * b", "assert sum(10, 15) == 150"),
        (
            "def f(x, kind): return [one for one in x if isinstance(one, kind)]",
            "assert f([1, 'a'], str) == ['a']",
        ),
        (
            "import collections\ndef f(x): return collections.Counter(x)",
            "assert f('aab') == {'a': 2, 'b': 1}",
        ),
        (
            "from collections import namedtuple, OrderedDict, deque\nP = namedtuple('P', 'x')\ndef f(): return P(1), OrderedDict(a=1), deque([1])",
            "from collections import deque\nassert f() == ((1,), {'a': 1}, deque([1]))",
        ),
        (
            "import datetime, decimal, fractions\ndef f(): return datetime.date(2020, 2, 29), decimal.Decimal('1.10'), fractions.Fraction(1, 3)",
            "import datetime\nfrom decimal import Decimal\nfrom fractions import Fraction\nassert f() == (datetime.date(2020, 2, 29), Decimal('1.1'), Fraction(1, 3))",
        ),
        // What the tests import is available to the program, and the other way round.
        ("def f(x): return math.floor(x)", "import math\nassert f(1.5) == 1"),
        ("import math\ndef f(x): return x", "assert math.isclose(f(1.0), 1.0)"),
        ("import re\ndef f(x): return re.match('a', x)", "assert f('ab')\nassert not f('b')"),
        ("LIMIT = 3\ndef f(x): return x < LIMIT", "assert f(2) and LIMIT == 3"),
        ("def f(x): return x", "def check(candidate):\n    assert candidate(1) == 1\ncheck(f)"),
        (
            "def f(x): return x",
            "cases = [(1, 1), (2, 2)]\nassert all(f(a) == b for a, b in cases) and [f(a) for a, _ in cases] == [1, 2]",
        ),
        (
            "print('{\"value\": 5}')\nimport sys\nsys.stdout.write('noise')\ndef f(): return 1",
            "assert f() == 1",
        ),
        ("x = 1\r\ndef f():\r\n    return x\r\n", "assert f() == 1\r\nassert f() == 1"),
    ] {
        assert_eq!(
            sandbox.check(program, tests).expect("it runs"),
            Outcome::Passed,
            "{program}\n{tests}"
        );
    }
}

#[test]
fn failing_tests_say_why() {
    let Some(sandbox) = sandbox() else { return };
    for (program, tests, reason) in [
        ("def f(): return 1", "assert f() == 2", "AssertionError"),
        ("def f(): return 1", "assert g() == 2", "NameError"),
        ("def f(): return 1 / 0", "assert f() == 2", "ZeroDivisionError"),
        ("class Own(Exception): pass\ndef f(): raise Own('why')", "assert f() == 2", "Own: why"),
        ("def f(x): return x", "assert f(object()) == 2", "no plain data"),
        ("def f(): return 1", "assert f( == 2", "SyntaxError"),
        (
            "def f(): return 1",
            "import sys\nsys.exit(0)\nassert f() == 2",
            "before their last statement",
        ),
        ("f = 1 /", "assert f == 1", "SyntaxError"),
    ] {
        match sandbox.check(program, tests).expect("it runs") {
            Outcome::Failed { output, .. } if output.contains(reason) => {}
            other => panic!("expected a failure with `{reason}`, found {other:?} of\n{program}"),
        }
    }
    let endless = "def f():\n    while True: pass";
    assert_eq!(sandbox.check(endless, "f()").expect("it runs"), Outcome::TimedOut);
    let outcome = sandbox.check("def f(): return 1", "while True: f()").expect("it runs");
    assert_eq!(outcome, Outcome::TimedOut);
}
