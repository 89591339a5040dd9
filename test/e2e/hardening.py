# Each setting is given to a transient unit, whose command succeeds only if the
# setting is in force. What has no effect in a container, or can't work there,
# is held to that too: should it ever work, this test wants to know.
import threading

# Functions for the commands below.
PRELUDE = r"""
# lacks N: whether capability N (linux/capability.h) is out of reach.
lacks() { ! (( 0x$(awk "/CapBnd/ {print \$2}" /proc/self/status) >> $1 & 1 )); }
# own KIND: whether this is another namespace than that of PID 1.
own() { [ "$(readlink /proc/self/ns/$1)" != "$(cat /run/e2e-ns/$1)" ]; }
"""

WORKS = [
    # Files.
    ("ProtectSystem=strict", "! touch /var/x && ! touch /etc/x"),
    ("ProtectSystem=full", "! touch /etc/x && touch /var/full"),
    ("ProtectHome=yes", "! test -e /root/here && ! test -e /home/alice"),
    ("ProtectHome=tmpfs", "! test -e /root/here && ! test -e /home/alice"),
    ("ProtectHome=read-only", "test -e /root/here && ! touch /root/x"),
    ("ReadOnlyPaths=/var", "! touch /var/x"),
    ("ReadWritePaths=/var -p ProtectSystem=strict", "touch /var/rw && ! touch /etc/x"),
    ("InaccessiblePaths=/var", "! test -e /var/log"),
    ("NoExecPaths=/tmp", "cp /usr/bin/busybox /tmp/b1 && ! /tmp/b1 true"),
    ("ExecPaths=/tmp/ok -p NoExecPaths=/tmp", "/tmp/ok/busybox true && ! /tmp/busybox true"),
    ("TemporaryFileSystem=/srv:mode=0700", "[ $(stat -c %a /srv) = 700 ] && touch /srv/x"),
    ("BindPaths=/etc:/mnt", "touch /mnt/bound && test -e /etc/bound"),
    ("BindReadOnlyPaths=/etc:/mnt", "test -e /mnt/os-release && ! touch /mnt/x"),
    ("PrivateTmp=yes", "touch /tmp/private && ! test -e /tmp/shared"),
    ("PrivateTmp=disconnected", "touch /tmp/private && ! test -e /tmp/shared"),
    ("PrivateMounts=yes", "own mnt && mount -t tmpfs private /srv"),
    ("MountFlags=slave", "grep -q master: /proc/self/mountinfo"),
    ("RootDirectory=/other-root -p MountAPIVFS=yes", "! test -e /etc/hosts && test -e /proc/self/status"),
    ("StateDirectory=e2e", "[ $STATE_DIRECTORY = /var/lib/e2e ] && touch /var/lib/e2e/x"),
    ("RuntimeDirectory=e2e -p RuntimeDirectoryMode=0700", "[ $(stat -c %a /run/e2e) = 700 ]"),
    ("CacheDirectory=e2e", "touch /var/cache/e2e/x"),
    ("LogsDirectory=e2e", "touch /var/log/e2e/x"),
    ("ConfigurationDirectory=e2e", "test -d /etc/e2e"),
    ("UMask=0077", "[ $(umask) = 0077 ]"),
    ("WorkingDirectory=/var", "[ $PWD = /var ]"),
    # Users and capabilities.
    ("DynamicUser=yes", "[ $(id -u) -ge 61184 ]"),
    ("DynamicUser=yes -p StateDirectory=dynamic", "touch /var/lib/dynamic/x"),
    ("PrivateUsers=yes", "own user && ! grep -q ' 65536$' /proc/self/uid_map"),
    ("PrivateUsers=identity", "own user && grep -q ' 65536$' /proc/self/uid_map"),
    ("User=alice", "[ $(id -un) = alice ]"),
    ("SupplementaryGroups=keys", "id -Gn | grep -qw keys"),
    ("CapabilityBoundingSet=CAP_CHOWN", "lacks 1 && ! lacks 0"),
    ("AmbientCapabilities=CAP_NET_ADMIN -p User=alice", "ip link add e2e type bridge && ip link delete e2e"),
    ("NoNewPrivileges=yes", "grep -q 'NoNewPrivs:\t1' /proc/self/status"),
    ("SecureBits=noroot", "python3 -c 'import ctypes; exit(ctypes.CDLL(None).prctl(27) != 1)'"),
    # Processes and the kernel.
    ("ProtectProc=invisible -p User=alice", "! test -e /proc/1"),
    ("ProtectProc=noaccess -p User=alice", "test -e /proc/1 && ! cat /proc/1/status"),
    ("ProcSubset=pid", "! test -e /proc/cpuinfo"),
    ("PrivatePIDs=yes", "own pid && [ $(ls -d /proc/[0-9]* | wc -l) -lt 10 ]"),
    ("PrivateIPC=yes", "own ipc"),
    ("ProtectKernelTunables=yes", "! sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'"),
    ("ProtectKernelModules=yes", "lacks 16"),
    ("ProtectKernelLogs=yes", "lacks 34"),
    ("ProtectClock=yes", "lacks 25 && lacks 35"),
    ("ProtectControlGroups=yes", "! mkdir /sys/fs/cgroup/x"),
    ("ProtectControlGroups=private", "own cgroup && grep -qx 0::/ /proc/self/cgroup"),
    ("ProtectHostname=yes", "! hostname changed"),
    ("ProtectHostname=private", "own uts && hostname changed"),
    ("LockPersonality=yes", "! setarch --addr-no-randomize true"),
    ("MemoryDenyWriteExecute=yes", "! python3 -c 'import mmap; mmap.mmap(-1, 4096, prot=7)'"),
    ("RestrictRealtime=yes", "! chrt -r 1 true"),
    ("RestrictSUIDSGID=yes", "touch /run/suid; ! chmod 4755 /run/suid"),
    ("RestrictNamespaces=yes", "! unshare --uts true"),
    ("RestrictNamespaces=net", "unshare --net true && ! unshare --uts true"),
    ("RestrictAddressFamilies=AF_UNIX", "! socat -u /dev/null UDP4-SENDTO:127.0.0.1:9"),
    ("SystemCallFilter=@system-service", "! mount -t tmpfs none /srv"),
    ("SystemCallFilter=~mkdir -p SystemCallErrorNumber=EXFULL", "mkdir /run/x 2>&1 | grep -q 'Exchange full'"),
    ("SystemCallArchitectures=native", "grep -q 'Seccomp_filters:\t[3-9]' /proc/self/status"),
    ("SystemCallLog=@clock", "true"),
    ("PrivateDevices=yes", "! test -e /dev/console && echo x >/dev/null"),
    ("KeyringMode=private", "true"),
    ("RemoveIPC=yes -p User=alice", "true"),
    ("IgnoreSIGPIPE=no", "(( ~ 0x$(awk \"/SigIgn/ {print \\$2}\" /proc/self/status) & 0x1000 ))"),
    # Network.
    ("PrivateNetwork=yes", "own net && [ $(ip -o link | wc -l) = 1 ]"),
    ("NetworkNamespacePath=/run/netns/e2e", "own net && [ $(ip -o link | wc -l) = 1 ]"),
    # Resources.
    ("LimitNOFILE=100", "[ $(ulimit -n) = 100 ]"),
    ("LimitNPROC=50", "[ $(ulimit -u) = 50 ]"),
    ("LimitMEMLOCK=65536", "[ $(ulimit -l) = 64 ]"),
    ("OOMScoreAdjust=500", "[ $(cat /proc/self/oom_score_adj) = 500 ]"),
    ("Nice=5", "[ $(nice) = 5 ]"),
    ("CPUSchedulingPolicy=batch", "chrt -p $$ | grep -q SCHED_BATCH"),
    ("CPUAffinity=0", "[ $(nproc) = 1 ]"),
    ("IOSchedulingClass=idle", "ionice | grep -q idle"),
    ("TimerSlackNSec=100000", "[ $(cat /proc/self/timerslack_ns) = 100000 ]"),
    ("Delegate=yes", "mkdir /sys/fs/cgroup$(grep ^0: /proc/self/cgroup | cut -d: -f3)/sub"),
]

# The unit starts, and systemd says that it could not do it: each needs an eBPF
# program, which only the initial user namespace may load. The command succeeds
# as long as there is no effect.
IGNORED = [
    ("IPAddressDeny=any", "ping -c 1 -W 5 127.0.0.1"),
    ("SocketBindDeny=any", "timeout 0.1 socat TCP-LISTEN:9999 - || [ $? = 124 ]"),
    ("RestrictNetworkInterfaces=~lo", "ping -c 1 -W 5 127.0.0.1"),
    ("DeviceAllow=/dev/null -p DevicePolicy=strict", "head -c 1 /dev/zero"),
]

# The unit does not start: (setting, systemd's name of the step, why).
FAILS = [
    ("CPUSchedulingPolicy=rr", "SETSCHEDULER", "real-time scheduling takes CAP_SYS_NICE in the initial user namespace"),
    ("CPUSchedulingPolicy=fifo", "SETSCHEDULER", "the same"),
    ("IOSchedulingClass=realtime", "IOPRIO", "so does the priority of real-time disk access"),
]

a.wait_for_unit("multi-user.target")
a.succeed(
    "ip netns add e2e; mkdir -p /srv /mnt /run/e2e-ns /other-root/nix /other-root/run; touch /root/here",
    "for kind in cgroup ipc mnt net pid user uts; do readlink /proc/1/ns/$kind >/run/e2e-ns/$kind; done",
    "cp -P /usr /bin /sbin /lib /lib64 /other-root; mount --rbind /nix /other-root/nix",
    "mount --bind /run/e2e-ns /other-root/run",
    "mkdir /tmp/ok; cp /usr/bin/busybox /tmp; cp /usr/bin/busybox /tmp/ok",
)

results = {}
entries = iter([*WORKS, *IGNORED, *[(setting, "true") for setting, _, _ in FAILS]])
lock = threading.Lock()


def work():
    while True:
        with lock:
            entry = next(entries, None)
        if entry is None:
            return
        setting, command = entry
        script = (PRELUDE + command).replace("'", "'\\''")
        results[setting] = a.execute(
            "systemd-run --quiet --wait --pipe --collect --expand-environment=no "
            f"-p {setting} bash -c '{script}' 2>&1",
            timeout=60,
        )


# A few at a time, as in a boot.
serial_stdout_off()
workers = [threading.Thread(target=work) for _ in range(4)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
serial_stdout_on()

wrong = []


def judge(setting, right, verdict, command):
    status, output = results[setting]
    print(f"hardening: {setting}: {verdict if right(status) else 'WRONG'}")
    if not right(status):
        wrong.append(f"{setting}: {command}: exit status {status}: {output.strip()}")


for setting, command in WORKS:
    judge(setting, lambda status: status == 0, "works", command)
for setting, command in IGNORED:
    judge(setting, lambda status: status == 0, "has no effect, no eBPF in a user namespace", command)
for setting, step, why in FAILS:
    judge(setting, lambda status: status != 0, f"cannot work: {why}", f"works, although {why}")
    a.succeed(f"journalctl -b --no-pager | grep 'Failed at step {step}'")
t.assertEqual(wrong, [], "\n".join(wrong))
names = {setting.partition("=")[0] for setting, _ in WORKS}
print(f"hardening: {len(names)} settings work")
t.assertGreaterEqual(len(names), 60)
t.assertEqual(a.succeed("systemctl --failed --no-legend --plain"), "")
