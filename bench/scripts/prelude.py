# Goes before each script. The same text runs under both drivers.
import contextlib
import json
import os
import statistics
import time

numbers: dict = {}
# Seconds from the driver's start, for those who look where the time goes.
phases: dict = {}


def since_start():
    return time.monotonic() - float(os.environ["BENCH_START"])


phases["script begins"] = since_start()


def cpu_seconds():
    with open("/sys/fs/cgroup/cpu.stat") as file:
        return int(file.readline().split()[1]) / 1e6


@contextlib.contextmanager
def off_the_clock():
    """For what is only there to be measured."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    yield
    for name, used in (("wall", time.perf_counter() - wall), ("cpu", cpu_seconds() - cpu)):
        name = f"off_clock_{name}_s"
        numbers[name] = numbers.get(name, 0) + used


def look_back(machines):
    """Asks the machines how their boots went; systemd has our clock."""
    properties = {"UserspaceTimestampMonotonic": "systemd begins", "FinishTimestampMonotonic": "is up"}
    phases["script ends"] = since_start()
    with off_the_clock():
        # When PID 1 was forked, in clock ticks since the kernel's boot.
        forked = [int(m.succeed("cat /proc/1/stat").rpartition(")")[2].split()[19]) for m in machines]
        show = "systemctl show --value --property=" + " --property=".join(properties)
        answers = [m.succeed(show).split() for m in machines]
        failed = [m.succeed("systemctl --failed --no-legend --plain").strip() for m in machines]
    for i, phase in enumerate(properties.values()):
        times = sorted(int(answer[i]) / 1e6 - float(os.environ["BENCH_START"]) for answer in answers)
        phases[f"first {phase}"], phases[f"last {phase}"] = times[0], times[-1]
    ticks = sorted(value / os.sysconf("SC_CLK_TCK") for value in forked)
    boot_time = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic() + float(os.environ["BENCH_START"])
    phases["first is forked"], phases["last is forked"] = ticks[0] - boot_time, ticks[-1] - boot_time
    numbers["phases"] = phases
    numbers["failed_units"] = sum(len(text.splitlines()) for text in failed)
    numbers["failed"] = [text for text in failed if text]


def write_numbers():
    with open(os.environ["BENCH_RESULT"], "w") as file:
        json.dump(numbers, file)


