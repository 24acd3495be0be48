# Runs the program on standard input as a script, then says so: "every statement was run" is a
# secret word on the first standard output, which only this harness knows. An exit code of 0 says
# less: os._exit(0) gives one too. What the program prints goes to standard error.
import os
import sys


def run(word, program, harness):
    channel = os.dup(1)
    os.dup2(2, 1)
    main = type(sys)("__main__")
    sys.modules["__main__"] = main
    exec(compile(program, "program", "exec"), main.__dict__)
    os.write(channel, word)


run(*sys.stdin.buffer.read().split(b"\n", 1), harness=sys.modules["__main__"])
