"""A process that watches the ranks of its machine, and ends all of them after a fault of one.

A launcher kills all ranks within milliseconds after one has died, and a rank that is stopped, or
inside a long call, runs no Python. So a rank can tell neither what happened to another nor what
happened to itself. This process can: it is in a session of its own, which launchers do not kill. It
starts in milliseconds, as it imports neither NumPy nor minigen, and leaves after its ranks.

Until all have joined, each rank has one, which watches all processes of its launcher. Then the
first watches for the others. These only keep the descriptors that they have inherited from their
rank open, by whose end MPICH's launcher sees that a rank has died, until the first has looked.

    python -S -E watchdog.py RANK PID LAUNCHER_PID SIZE RANK_VARIABLE LIMIT

reads "leave", "hold PID_OF_FIRST" or "joined BOARD RANK PID RANK PID ..." from standard input.
BOARD is the path of the board, which all have opened then: this process removes it.
"""

import fcntl
import os
import re
import selectors
import signal
import sys
import time
from contextlib import suppress

from board import CODE, ENDED, FAILED, RUNNING, Board
from processes import Process, children_of, runs, segments_of

LOOK = 0.25  # seconds between two looks
STOPPED = 3.0  # seconds for which a process may be stopped, as by a short kill -STOP
ALIKE = 1.0  # seconds in which an error that all ranks raise alike is raised by the last of them
ELSEWHERE = 2.0  # more, where rank 0 is on another machine, which then says it
ENDED_EARLY = 5.0  # seconds for which a rank may wait for one whose script has ended
FAR = 10  # patience with other machines, which this process does not see, in patiences
HELD = 5.0  # seconds in which the first watchdog looks at the death of a rank
LEAVE = 1.0  # seconds in which ranks that wait end by themselves; the others are killed then


class Watchdog:
    """Looks at the processes; `fault` is the first sentence that there is to say."""

    def __init__(self, rank, pid, launcher, size, variable, limit):
        self.rank, self.launcher, self.size = int(rank), int(launcher), int(size)
        self.variable, self.limit = variable.encode(), float(limit)
        self.board, self.joined, self.host = None, False, os.uname().nodename
        self.now = self.last = time.monotonic()
        sizes = map(os.environ.get, ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE"))
        self.local_size = int(next(filter(None, sizes), 0))  # 0: not known
        self.started, self.scanned, self.first_failure = self.now, -1.0, None
        self.selector, self.processes = selectors.DefaultSelector(), {}
        self.selector.register(0, selectors.EVENT_READ)
        self.dead: list[Process] = []  # in the order in which they died
        self.launcher_gone, launcher_file = False, Process(-1, self.launcher, self.now).file
        if launcher_file is not None and self.launcher > 1:
            self.selector.register(launcher_file, selectors.EVENT_READ, "launcher")
        self.add(self.rank, int(pid))

    def add(self, rank: int, pid: int) -> None:
        if pid not in self.processes:
            process = self.processes[pid] = Process(rank, pid, self.now)
            if process.file is not None:
                self.selector.register(process.file, selectors.EVENT_READ, process)

    def run(self) -> None:
        """Look until the processes have gone, or a fault has been said and has ended them."""
        while self.processes:
            self.look()
            found = self.fault()
            if found is not None:
                self.say_and_end(*found)
                return

    def look(self) -> None:
        """Wait for an event, or a moment, and bring the processes up to date.

        Linux reports events in the order in which they came, so the first to die comes first.
        """
        for key, _ in self.selector.select(LOOK):
            if key.fd == 0:
                self.hear()
            elif key.data == "launcher":
                self.launcher_gone = True
            else:
                self.remove(key.data)
        real = time.monotonic()
        # If this process itself was stopped, then the ranks had no time to get on either.
        self.now, self.last = self.now + min(real - self.last, 2 * LOOK), real
        if not self.joined and self.now - self.scanned > 1:
            self.scanned = self.now
            for pid in children_of(self.launcher):
                with suppress(OSError, ValueError), open(f"/proc/{pid}/environ", "rb") as file:
                    found = re.search(rb"(?:^|\0)" + self.variable + rb"=(\d+)", file.read())
                    if found:
                        self.add(int(found[1]), pid)
        for process in list(self.processes.values()):
            process.look(self.now)
            if process.file is None and process.has_gone():
                self.remove(process)

    def remove(self, process: Process) -> None:
        self.processes.pop(process.pid, None)
        self.dead.append(process)
        if process.file is not None:
            self.selector.unregister(process.file)

    def hear(self) -> None:
        """Read what the rank says that has started this process."""
        words = os.read(0, 1 << 20).decode().split()
        if not words:  # it has gone
            self.selector.unregister(0)
        elif words[0] == "leave":
            sys.exit()
        elif words[0] == "hold":
            self.hold(int(words[1]))
        else:
            self.joined, self.board = True, Board(words[1], self.size)
            os.unlink(words[1])
            for rank, pid in zip(words[2::2], words[3::2]):
                self.add(int(rank), int(pid))
            for process in [*self.processes.values(), *self.dead]:
                process.row, process.changed = self.board.row(process.rank), self.now

    def hold(self, first: int) -> None:
        """Leave when the rank says so, or the first watchdog has left, or soon after the rank."""
        for process in [each for each in self.processes.values() if each.rank != self.rank]:
            self.remove(process)
        self.add(-1, first)
        while self.processes:
            waits = any(process.rank == self.rank for process in self.processes.values())
            events = self.selector.select(None if waits else HELD)
            for key, _ in events:
                if key.fd == 0:
                    self.hear()
                elif isinstance(key.data, Process):
                    self.remove(key.data)
            if not events or first not in self.processes:
                sys.exit()

    # ------------------------------------------------------------------------ the faults

    def fault(self) -> tuple[str, int] | None:
        """(what to say, exit code), or None."""
        alive = list(self.processes.values())
        if self.launcher_gone:
            return f"the launcher, mpiexec, has gone; its ranks on {self.host} end", 1
        if (found := self.failures(alive)) is not None:
            return found
        if not self.joined:
            return self.not_joined(alive)
        for process in self.dead:
            if not process.is_in(ENDED) and not process.is_in(FAILED):
                return f"{self.name(process)} {process.reason()}", 1
        if (found := self.stopped(alive)) is not None:
            return found
        return self.no_progress(alive)

    def stopped(self, alive: list[Process]) -> tuple[str, int] | None:
        for process in alive:
            seconds = self.now - process.stopped
            if seconds > STOPPED and any(other.stopped == self.now for other in alive):
                return f"{self.name(process)} has been stopped for {seconds:.0f} s (SIGSTOP)", 1
        return None

    def failures(self, alive: list[Process]) -> tuple[str, int] | None:
        """The errors that ranks have raised; the same error of all ranks is said once."""
        every = [*self.dead, *alive]
        failed = [process for process in every if process.is_in(FAILED)]
        if not failed:
            return None
        if self.first_failure is None:
            self.first_failure = self.now
        here = any(process.rank == 0 for process in every)
        time_left = ALIKE + (0 if here else ELSEWHERE) > self.now - self.first_failure
        if time_left and (not here or any(process.is_in(RUNNING) for process in alive)):
            return None
        texts: dict[str, list[Process]] = {}
        for process in sorted(failed, key=lambda each: each.rank):
            alike = re.sub(r"0x[0-9a-f]+", "", process.row.failure)  # addresses of objects
            texts.setdefault(alike, []).append(process)
        said = []
        for group in texts.values():
            trace, _, sentence = group[0].row.failure.rpartition("\0")
            if sentence:
                of_all = len(group) == len(every)
                said.append(trace + ("" if of_all else f"{self.name(*group)}: ") + sentence)
        return "\n".join(said), max(process.row.numbers[CODE] for process in failed)

    def not_joined(self, alive: list[Process]) -> tuple[str, int] | None:
        """Faults before all ranks have called distributed.start(); the launcher may be faster."""
        seconds = self.now - self.started
        killed = [each for each in self.dead if (each.exit_status() or 0) & 127]
        sure = [each for each in killed if each.exit_status() & 127 != signal.SIGKILL]
        if killed and not sure and (len(killed) > 1 or not alive):  # the launcher has killed some
            return f"a rank of {self.size} was killed before all had called distributed.start()", 1
        if killed:
            first = (sure or killed)[0]
            return f"{self.name(first)} {first.reason()}", 1
        if (found := self.stopped(alive)) is not None:
            return found
        for (
            process
        ) in self.dead:  # its own words have said why; the others may follow by themselves
            if self.now - process.stopped > ENDED_EARLY:
                return f"{self.name(process)} {process.reason()}", 1
        seen = {process.rank for process in [*self.dead, *alive]}
        if seconds > ENDED_EARLY and len(seen) < self.local_size:
            gone = sorted({*range(self.size)} - seen) if self.local_size == self.size else ["?"]
            ranks = ", ".join(map(str, gone))
            return f"rank {ranks} of {self.size} has gone before distributed.start()", 1
        if seconds < self.limit:
            return None
        has_called = lambda each: any(runs(pid, "watchdog.py") for pid in children_of(each.pid))
        late = [each for each in alive if not has_called(each)]
        if late:
            return f"{self.name(*late)} had not called distributed.start() after {seconds:.0f} s", 1
        if seconds < FAR * self.limit:
            return None
        return f"the ranks of {self.host} have waited {seconds:.0f} s for others to start", 1

    def no_progress(self, alive: list[Process]) -> tuple[str, int] | None:
        patience = self.board.patience
        idle = {process: self.now - process.changed for process in alive}
        for process in [*self.dead, *alive]:
            if process.is_in(ENDED):
                for other in alive:
                    asks = self.now - other.polled < ENDED_EARLY / 2  # the wait does not hang
                    if other.waits and asks and idle[other] > ENDED_EARLY:
                        words = f"has ended, but {self.name(other)} waits for it"
                        return f"{self.name(process)} {words}", 1
        running = [process for process in alive if process.is_in(RUNNING)]
        for process in running:
            hangs = process.waits and self.now - process.polled >= patience
            if (process.waits and not hangs) or process.row.activity or idle[process] < patience:
                continue
            for other in running:  # that waits for it, or needs not wait and has long been ahead
                waited = idle[other] if other.waits else other.changed - process.changed
                if hangs or (other is not process and waited >= patience):
                    words = f"has made no progress for {idle[process]:.0f} s"
                    return f"{self.name(process)} {words}; --patience is {patience:g} s", 1
        limit = patience if len(running) == self.size else FAR * patience
        asks = {each: self.now - each.polled < patience / 2 for each in running}
        if running and all(each.waits and asks[each] and idle[each] >= limit for each in running):
            if len(running) == self.size:
                words = "each for another: they have not called the same collective operations"
            else:
                words = "for those of other machines"
            return f"the ranks of {self.host} have waited for {limit:.0f} s, {words}", 1
        return None

    def name(self, *processes: Process) -> str:
        if len(processes) > 1:
            ranks = ", ".join(str(process.rank) for process in processes)
            return f"ranks {ranks} of {self.size} ({self.host})"
        process = processes[0]
        return f"rank {process.rank} of {self.size} (pid {process.pid}, {self.host})"

    def say_and_end(self, text: str, code: int) -> None:
        """Say what has happened, unless another watchdog does, and end all ranks of this machine.

        Ranks that wait end by themselves, as launchers say less about those than about killed ones.
        """
        if not self.joined and not self.is_first():
            return
        segments = {path for pid in self.processes for path in segments_of(pid)}
        if text:
            with suppress(OSError):
                os.write(2, f"{text}\n".encode())
        if self.joined:
            self.board.end = code
        end = time.monotonic() + LEAVE
        while self.joined and self.processes and time.monotonic() < end:
            self.look()
        for process in self.processes.values():
            with suppress(OSError):
                os.kill(process.pid, signal.SIGKILL)
        if not self.joined:
            time.sleep(LEAVE)  # until the watchdogs of the others have seen that this one is first
        for path in segments:
            with suppress(OSError):
                os.unlink(path)

    def is_first(self) -> bool:
        """Whether this is the first of the watchdogs of one launcher that has seen a fault."""
        with suppress(OSError):
            self.lock = open(f"/proc/{self.launcher}/stat")  # noqa: SIM115 (until the end)
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False


if __name__ == "__main__":
    Watchdog(*sys.argv[1:]).run()
