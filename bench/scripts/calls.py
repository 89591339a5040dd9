CALLS = 300
UNITS = 10

a.wait_for_unit("multi-user.target")
# A machine that is still at its boot would take part in the measuring.
a.succeed("systemctl is-system-running --wait || true")
for _ in range(20):
    a.succeed("true")

with subtest("succeed"):
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        a.succeed("true")
        times.append(time.perf_counter() - start)
    times.sort()
    numbers["succeed_ms"] = statistics.median(times) * 1e3
    numbers["succeed_p90_ms"] = times[len(times) * 9 // 10] * 1e3
    numbers["succeed_min_ms"] = times[0] * 1e3

with subtest("wait_for_unit"):
    late = []
    for _ in range(UNITS):
        a.succeed("systemctl stop slow.service")
        a.succeed("systemctl start --no-block slow.service")
        a.wait_for_unit("slow.service")
        # The machine has our clock: nobody has a time namespace.
        now = time.clock_gettime(time.CLOCK_MONOTONIC)
        active = a.succeed("systemctl show --property=ActiveEnterTimestampMonotonic --value slow.service")
        late.append(now - int(active) / 1e6)
    numbers["unit_late_ms"] = statistics.median(late) * 1e3
    numbers["unit_late_max_ms"] = max(late) * 1e3
write_numbers()
