"""Process 1 of a build: starts the driver, ends it in the way that $ending
names, and compares what there is in the sandbox before and after."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

CGROUPS = "/build/cgroups"  # where cgroup2 is mounted, to look at it
PATIENCE = 10  # seconds for the kernel to clear up after the driver's end
STATUS = {"success": 0, "failure": 1, "timeout": 4, "SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}
NAMESPACES = {
    "cgroup": os.CLONE_NEWCGROUP,
    "ipc": os.CLONE_NEWIPC,
    "mnt": os.CLONE_NEWNS,
    "net": os.CLONE_NEWNET,
    "pid": os.CLONE_NEWPID,
    "user": os.CLONE_NEWUSER,
    "uts": os.CLONE_NEWUTS,
}


def read(path):
    with open(path) as file:
        return file.read()


def reap():
    """Buries the orphans that came to us as process 1."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def processes():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = read(f"/proc/{pid}/cmdline").replace("\0", " ")
            state = read(f"/proc/{pid}/stat").rsplit(")")[-1].split()[0]
        except OSError:
            continue  # it has just ended
        if int(pid) != os.getpid():
            found.append(f"{pid} ({state}) {command}")
    return found


def namespaces():
    """The namespaces that processes are in."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for kind in NAMESPACES:
            try:
                found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
            except OSError:
                pass
    return sorted(found)


def counts():
    """How many namespaces of each kind the kernel charges to us, whether or
    not a process is in them: one more is possible only while they are fewer
    than the limit in /proc/sys/user (namespaces(7))."""
    found = []
    for kind, flag in NAMESPACES.items():
        limit = f"/proc/sys/user/max_{kind}_namespaces"
        before = read(limit)
        for most in range(1, 500):
            with open(limit, "w") as file:
                file.write(str(most))
            child = os.fork()
            if child == 0:
                try:
                    os.unshare(flag)
                except OSError:
                    os._exit(1)
                os._exit(0)
            if os.waitpid(child, 0)[1] == 0:
                found.append(f"{kind}: {most - 1}")
                break
        with open(limit, "w") as file:
            file.write(before)
    return found


def cgroups():
    return sorted(path for path, _, _ in os.walk(CGROUPS))


def populated():
    """The cgroups with somebody in them, but the one that we are in."""
    mine = read("/proc/self/cgroup").split("0::")[1].strip()
    found = []
    for path in cgroups():
        pids = read(f"{path}/cgroup.procs").split() if path != CGROUPS + mine.rstrip("/") else []
        if pids:
            found.append(f"{path}: {pids}")
    return found


def leftovers():
    return sorted(name for name in os.listdir("/build") if name.startswith(".nestbox"))


def snapshot(killed):
    reap()
    return {
        "processes": processes(),
        "mounts": read("/proc/self/mountinfo").splitlines(),
        "namespaces of processes": namespaces(),
        "namespaces charged": counts(),
        "interfaces": sorted(os.listdir("/sys/class/net")),
        # Nobody can remove directories for a driver that was killed; Nix
        # removes them with the build's.
        "cgroups": [CGROUPS, *populated()] if killed else cgroups(),
        "temporary files": [] if killed else leftovers(),
    }


def compare(before, killed):
    """Waits until all is as before; returns the differences that remain."""
    deadline = time.monotonic() + PATIENCE
    pause = 0.01
    while True:
        after = snapshot(killed)
        if after == before:
            return []
        if time.monotonic() > deadline:
            break
        time.sleep(pause)
        pause = min(2 * pause, 0.5)
    lines = []
    for part, was in before.items():
        lines += [f"{part}: left behind: {line}" for line in after[part] if line not in was]
        lines += [f"{part}: gone: {line}" for line in was if line not in after[part]]
    return lines


def baseline():
    """What there is before a driver. Nothing else makes namespaces here; those
    that counts() makes take the kernel a moment to remove."""
    now = snapshot(False)
    now["namespaces charged"] = [f"{kind}: 0" for kind in NAMESPACES]
    left = compare(now, False)
    if left:
        sys.exit(f"no clean start: {left}")
    return now


def clear_up():
    """Removes, as Nix does after the build, what a killed driver left:
    directories without anybody in them."""
    with open(f"{CGROUPS}/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))
    for path in sorted(cgroups(), key=len, reverse=True):
        if path != CGROUPS:
            os.rmdir(path)
    for name in leftovers():
        shutil.rmtree(f"/build/{name}")


class Driver:
    """A driver, and its log as it comes."""

    def __init__(self):
        argv = ["nixos-test-driver", "--config", os.environ["config"] + "/config.json", "-o", os.environ["out"]]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.lines = []
        self.holding = threading.Event()
        # Not to be waited for: what is left behind may hold the pipe open.
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if line == b"HOLDING\n":
                self.holding.set()
        self.holding.set()  # it ended before

    def end(self):
        """Returns the exit status; -9 too of one that has to be killed."""
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def show(self):
        sys.stdout.buffer.write(b"".join(self.lines))
        sys.stdout.flush()


def run(ending):
    """Runs a driver to the end that is asked for; returns what is wrong."""
    killed = ending == "SIGKILL"
    before = baseline()
    driver = Driver()
    driver.holding.wait(60)
    holds = ", ".join(new(before, snapshot(killed)))
    if ending in signal.Signals.__members__:
        driver.process.send_signal(signal.Signals[ending])
    began = time.monotonic()
    status = driver.end()
    took = time.monotonic() - began
    wrong = compare(before, killed)
    driver.show()
    print(f"it held {holds} and ended {took:.2f} s later, with status {status}")
    if b"HOLDING\n" not in driver.lines:
        wrong.append("it never came to hold anything")
    if status != STATUS[ending]:
        wrong.append(f"its status is {status}, not {STATUS[ending]}")
    return wrong


def new(before, now):
    """Says how much there is that was not there before: a comparison that
    sees nothing at the height of a test would see nothing at its end."""
    for part, lines in now.items():
        yield f"{len([line for line in lines if line not in before[part]])} {part}"


def run_anytime():
    """Ends drivers at moments of their way up, gently and not so."""
    for delay in (0.01, 0.03, 0.06, 0.1, 0.15, 0.25, 0.4, 0.7, 1.2):
        for end in (signal.SIGTERM, signal.SIGKILL):
            killed = end == signal.SIGKILL
            before = baseline()
            driver = Driver()
            driver.holding.wait(delay)
            driver.process.send_signal(end)
            status = driver.end()
            left = compare(before, killed)
            # Before it listens, a signal just ends it.
            if status not in (128 + end, -end):
                left.append(f"its status is {status}")
            print(f"{end.name} after {delay} s: status {status}, {len(driver.lines)} lines of log", flush=True)
            if left:
                driver.show()
                return [f"{end.name} after {delay} s: {line}" for line in left]
            clear_up()
    return []


def main():
    ending = os.environ["ending"]
    os.makedirs(CGROUPS)
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", CGROUPS], check=True)
    wrong = run_anytime() if ending == "anytime" else run(ending)
    for line in wrong:
        print("leaks:", line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
