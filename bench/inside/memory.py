"""Memory of a driver and of what it keeps for each machine, in MiB, and the CPU
time that these processes have used so far.

PSS from /proc/PID/smaps_rollup (proc_pid_smaps(5)): a page that n processes
share counts for 1/n in each. RSS where the kernel has no smaps_rollup.
"""

import glob
import os


def processes():
    """Yields (pid, depth, argv): depth is 1 for a process of this pid
    namespace and 2 for one of a machine."""
    for path in glob.glob("/proc/[0-9]*"):
        pid = int(os.path.basename(path))
        try:
            with open(f"{path}/cmdline", "rb") as file:
                argv = file.read().decode(errors="replace").split("\0")[:-1]
            with open(f"{path}/status") as file:
                depth = next(len(line.split()) - 1 for line in file if line.startswith("NSpid:"))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if argv:  # a zombie or a kernel thread has none
            yield pid, depth, argv


def size(pid):
    """Returns (KiB, "pss" or "rss")."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]), "pss"
    except (FileNotFoundError, PermissionError):
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]), "rss"
    return 0, "pss"


def cpu_seconds(pid):
    """Returns the processor time of a process, without that of its children."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    # utime and stime, fields 14 and 15 of proc_pid_stat(5); the third comes first here.
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def name_of(argv):
    """Returns a name to sum up by: a script's own, not its interpreter's."""
    files = [word for word in argv if not word.startswith("-")]
    return os.path.basename(files[1] if len(files) > 1 and "python" in files[0] else argv[0])


def kind(contender, depth, argv):
    """Says whose a process is: the driver's, the machine's own, or kept by the
    driver for a machine."""
    if depth > 1:
        return "beside" if argv[0] == "nestbox-agent" else "own"
    if contender == "peer":
        words = " ".join(argv)
        for name in ("run-nspawn", "systemd-nspawn", "journalctl", "nsenter"):
            if name in words:
                return "beside"
    return "driver"


def measure(contender):
    """Returns the sums for the contender's processes in this pid namespace and
    those below it."""
    kib = {"driver": 0, "beside": 0, "own": 0}
    count = {"driver": 0, "beside": 0, "own": 0}
    by_name = {}
    cpu_by_name = {}
    methods = set()
    for pid, depth, argv in processes():
        if pid == 1:
            continue  # the room
        try:
            used, method = size(pid)
            cpu = cpu_seconds(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
        whose = kind(contender, depth, argv)
        kib[whose] += used
        count[whose] += 1
        methods.add(method)
        name = name_of(argv)
        cpu_by_name[name] = cpu_by_name.get(name, 0) + cpu
        if whose != "own":
            by_name[name] = by_name.get(name, 0) + used
    return {
        "mib": {whose: value / 1024 for whose, value in kib.items()},
        "processes": count,
        "by_name_mib": {name: round(value / 1024, 2) for name, value in by_name.items()},
        "cpu_by_name_s": {name: round(value, 2) for name, value in cpu_by_name.items() if value >= 0.01},
        "method": "+".join(sorted(methods)),
    }
