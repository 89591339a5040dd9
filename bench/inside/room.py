"""room.py ORDER: one turn of one contender, as process 1 of new namespaces.

All that the contender leaves behind, in this file system view, this network and
this pid namespace, ends with this process. Prints a result in JSON.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import memory


def mount(*words):
    subprocess.run(["mount", *words], check=True)


def furnish():
    """Gives the room what drivers make themselves when it is missing, so that
    nobody's clock runs for it."""
    mount("-t", "proc", "-o", "nosuid,nodev,noexec", "proc", "/proc")
    # Of this network namespace: the peer looks for bridges in /sys/class/net.
    mount("-t", "sysfs", "-o", "nosuid,nodev,noexec", "sysfs", "/sys")
    mount("-t", "cgroup2", "-o", "nosuid,nodev,noexec", "cgroup2", "/sys/fs/cgroup")
    os.makedirs("/run", exist_ok=True)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    os.mkdir("/run/netns")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def cpu_seconds():
    """Returns what all processes of the room have used, dead ones too."""
    with open("/sys/fs/cgroup/cpu.stat") as file:
        for line in file:
            name, value = line.split()
            if name == "usage_usec":
                return int(value) / 1e6
    raise RuntimeError("cpu.stat has no usage_usec")


def main():
    order = json.loads(sys.argv[1])
    directory = order["dir"]
    furnish()
    # The script tells that it is to be looked at, and waits until that is done.
    look, go = f"{directory}/look", f"{directory}/go"
    os.mkfifo(look)
    os.mkfifo(go)
    result = {}

    def watch():
        with open(look):
            result["memory"] = memory.measure(order["memory"])
        with open(go, "w"):
            pass

    if order["memory"]:
        threading.Thread(target=watch, daemon=True).start()
    env = {
        **os.environ,
        "TMPDIR": directory,
        "BENCH_RESULT": f"{directory}/result.json",
        "BENCH_LOOK": look,
        "BENCH_GO": go,
        "LOGFILE": "/dev/null",
    }
    os.chdir(directory)
    with open(f"{directory}/log", "wb") as log:
        cpu = cpu_seconds()
        env["BENCH_START"] = str(time.monotonic())
        start = time.perf_counter()
        process = subprocess.Popen(
            order["argv"], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )


        def give_up():
            log.write(b"room: takes too long; what runs is:\n")
            log.flush()
            subprocess.run(["ps", "-eo", "pid,ppid,stat,time,wchan:24,args"], stdout=log, stderr=log)
            process.send_signal(signal.SIGKILL)

        # Not wait(timeout=…), which polls.
        timer = threading.Timer(order["deadline"], give_up)
        timer.daemon = True
        timer.start()
        status = process.wait()
        wall = time.perf_counter() - start
        cpu = cpu_seconds() - cpu
    result.update(status=status, wall_s=wall, cpu_s=cpu)
    try:
        with open(env["BENCH_RESULT"]) as file:
            numbers = json.load(file)
        result["wall_s"] -= numbers.pop("off_clock_wall_s", 0)
        result["cpu_s"] -= numbers.pop("off_clock_cpu_s", 0)
        result.update(numbers)
    except FileNotFoundError:
        pass
    print(json.dumps(result))


if __name__ == "__main__":
    main()
