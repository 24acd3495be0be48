# Passes only where all of this is refused; `victim` is a file outside, put in front of this text.
import os


def open_a_socket():
    import socket

    socket.socket()


attempts = {
    "start a process": lambda: os.fork() or os._exit(1),
    "start another program": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "open a socket": open_a_socket,
    "send a signal": lambda: os.kill(os.getppid(), 0),
    "read a file outside": lambda: open(victim).close(),
    "write a file outside": lambda: open(victim, "a").close(),
    "make a file outside": lambda: open(victim + ".new", "w").close(),
    "change the mode of a file outside": lambda: os.chmod(victim, 0o700),
    "remove a file outside": lambda: os.remove(victim),
}
holes = []
for name, attempt in attempts.items():
    try:
        attempt()
        holes.append(name)
    except (AttributeError, ImportError, OSError):
        pass
assert not holes, "a program can " + ", ".join(holes)

with open("own", "w") as file:
    file.write("its own folder is writable")
os.remove("own")
