"""A program that has the server of forks run it: it passes on its files and signals, and ends as its fork does.

It is a script of `forked.programs`, and its name says what is run.  It starts in a hundredth of a second, as it
imports nothing of the library.
"""

import _signal
import _socket
import marshal
import os
import sys

#: Signals that a test or a shell sends to a process.
_PASSED_ON = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGCONT", "SIGWINCH")
#: The server's answer instead of a process id: this environment needs an interpreter of its own.
_ALONE = 0


class _Forwarding:
    """Sends the signals of this process to the other one, as soon as there is one."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._early: list[int] = []
        for name in _PASSED_ON:
            number = getattr(_signal, name)
            if _signal.getsignal(number) is not _signal.SIG_IGN:
                _signal.signal(number, self._came)

    def begin(self, pid: int) -> None:
        self._pid = pid
        for number in self._early:
            self._came(number)

    def _came(self, number: int, _: object = None) -> None:
        if self._pid is None:
            self._early.append(number)
        else:
            try:  # noqa: SIM105
                os.kill(self._pid, number)
            except ProcessLookupError:
                pass  # The server is about to say how it has ended.


def _open_files() -> list[int]:
    """Return the file descriptors that this process was given, not those that the interpreter has opened."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            given = os.get_inheritable(int(name))
        except OSError:
            continue  # The directory itself.
        if given:
            found.append(int(name))
    return found


def _number(connection: "_socket.socket") -> int:
    data = connection.recv(4, _socket.MSG_WAITALL)
    if len(data) < 4:
        sys.stderr.write("the server of forks has ended\n")
        os._exit(70)
    return int.from_bytes(data, "little")


def main() -> None:
    directory, name = os.path.split(os.path.abspath(sys.argv[0]))
    files = _open_files()
    umask = os.umask(0)
    os.umask(umask)
    ignored = _signal.getsignal(_signal.SIGINT) is _signal.SIG_IGN
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(directory + "/socket")
    request = marshal.dumps((name, sys.argv, os.getcwd(), umask, ignored, dict(os.environ), files))
    passed = b"".join(each.to_bytes(4, sys.byteorder) for each in files)
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, passed)] if files else []
    forwarding = _Forwarding()
    connection.sendmsg([len(request).to_bytes(4, "little")], rights)
    connection.sendall(request)
    pid = _number(connection)
    if pid == _ALONE:
        program = os.path.join(os.path.dirname(sys.executable), name)
        os.execv(program, [program, *sys.argv[1:]])
    forwarding.begin(pid)
    # They are the other's now: who has their other ends is to notice when that closes them.
    for each in files:
        os.close(each)
    status = _number(connection)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != _signal.SIGKILL:
            _signal.signal(number, _signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


main()
