"""rounds.py OUT: lets the contenders take turns and writes OUT/results.json.

What to do is in the environment (see bench.nix). A turn is one whole life of a
contender, in a room (room.py) that is new and gone afterwards.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time

# Scenarios that the floor, having no script, can't take part in.
SCRIPTED = ["calls", "memory"]
TIMED = ["ping", "many"]
HERE = os.path.dirname(os.path.abspath(__file__))
# Exit and teardown of the slowest, with much room; a turn takes seconds.
DEADLINE = 60


def prepare_peer(env):
    """Copies the peer, compiles it as a package would, and has the machines'
    start scripts call its own run-nspawn."""
    shutil.copytree(env["peer"], "/build/peer")
    os.chmod("/build/peer", 0o755)
    wrapper = "/build/peer/run-nspawn"
    with open(wrapper, "w") as file:
        file.write("#!/usr/bin/python3\nimport run_nspawn\n\nrun_nspawn.main()\n")
    os.chmod(wrapper, 0o755)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "/build/peer"], check=True)
    with open(f"{env['config']}/config.json") as file:
        config = json.load(file)
    for entry in config["containers"].values():
        with open(entry["start_script"]) as file:
            text = re.sub(r"/nix/store/\S*/bin/run-nspawn\b", wrapper, file.read())
        entry["start_script"] = f"/build/peer/{os.path.basename(entry['start_script'])}"
        with open(entry["start_script"], "w") as file:
            file.write(text)
        os.chmod(entry["start_script"], 0o755)
    with open("/build/peer/config.json", "w") as file:
        json.dump(config, file)


def has_id(contender):
    """Says whether a contender is given roots with a machine id in them. Without
    one systemd takes the boot for the first ever and goes through the presets of
    all units, some 0.1 s. Upstream's driver starts from empty directories, so
    the peer does. Nestbox empties them and writes its own ids, on the clock, so
    the floor, which is there to be undercut by nobody, has ids. "peer-id" and
    "floor-empty" are the other way round."""
    return contender in ("peer-id", "floor")


def command(contender, env, directory):
    """Returns a contender's command line, as a Nix build would have it."""
    config = f"{env['config']}/config.json"
    contender = contender.split("-")[0]
    if contender == "nestbox":
        return [f"{env['nestbox']}/bin/nixos-test-driver", "--config", config, "-o", f"{directory}/out"]
    if contender == "peer":
        return ["python3", "/build/peer/main.py", "--config", "/build/peer/config.json", "-o", f"{directory}/out"]
    return [f"{env['floor']}/bin/floor", config]


def prepare(directory, machines, with_id):
    """Makes what is not to be on the clock: the machines' roots."""
    os.makedirs(f"{directory}/out")
    for number, name in enumerate(machines, start=1):
        root = f"{directory}/vm-state-{name}"
        os.mkdir(root)
        if with_id:
            os.mkdir(f"{root}/etc")
            with open(f"{root}/etc/machine-id", "w") as file:
                file.write(f"{number:032x}\n")


def remove_cgroup(path):
    """Removes a cgroup and all below it once its last process is gone."""
    for attempt in range(1000):
        for directory, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                break
        if not os.path.exists(path):
            return
        # Outside of all clocks; the kernel needs a moment to end processes.
        time.sleep(0.01)
    raise RuntimeError(f"the cgroup {path} does not get empty")


def busy_seconds():
    """Returns the time that all processors together have not been idle."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def settle():
    """Waits until the machine is quiet: the kernel goes on with the namespaces
    and cgroups of a turn when these are gone for everybody else. On a machine
    that others use too, gives up after some seconds."""
    for _ in range(15):
        before = busy_seconds()
        time.sleep(0.1)
        if busy_seconds() - before < 0.02:
            return True
    return False


def turn(number, contender, env):
    directory = f"/build/{number}"  # short: sockets lie below it
    cgroup = f"/sys/fs/cgroup/{number}"
    prepare(directory, env["machines"].split(), has_id(contender))
    os.mkdir(cgroup)
    quiet = settle()
    order = {
        "argv": command(contender, env, directory),
        "dir": directory,
        "deadline": DEADLINE,
        "memory": contender.split("-")[0] if env["scenario"] == "memory" else None,
    }
    room = subprocess.run(
        [
            "sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', cgroup,
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "--cgroup", "--net", "--ipc", "--uts",
            "python3", f"{HERE}/room.py", json.dumps(order),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    remove_cgroup(cgroup)
    result = json.loads(room.stdout) if room.returncode == 0 else {"error": f"the room ended with {room.returncode}"}
    result["quiet"] = quiet
    if "error" not in result and result["status"] != 0:
        result["error"] = f"exit status {result['status']}"
    return directory, result


def main():
    out = sys.argv[1]
    env = dict(os.environ)
    prepare_peer(env)
    scenario = env["scenario"]
    contenders = [c for c in env["contenders"].split() if scenario not in SCRIPTED or not c.startswith("floor")]
    os.mkdir("/sys/fs/cgroup/rounds")
    with open("/sys/fs/cgroup/rounds/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))
    turns = []
    number = 0
    # Round 0 warms the caches up, where time is what counts.
    for round_ in range(0 if scenario in TIMED else 1, int(env["rounds"]) + 1):
        for contender in contenders:
            number += 1
            directory, result = turn(number, contender, env)
            result.update(contender=contender, round=round_)
            turns.append(result)
            print(f"{scenario} {round_} {contender}: {json.dumps(result)}", flush=True)
            log = f"{out}/{contender}.log"
            if "error" in result:
                log = f"{out}/{contender}-{round_}-failed.log"
                with open(f"{directory}/log", errors="replace") as file:
                    print("".join(file.readlines()[-60:]), flush=True)
            shutil.copyfile(f"{directory}/log", log)
            shutil.rmtree(directory)
    with open(f"{out}/results.json", "w") as file:
        json.dump({"scenario": scenario, "machines": len(env["machines"].split()), "turns": turns}, file, indent=1)


if __name__ == "__main__":
    main()
