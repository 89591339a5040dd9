start_all()
for machine in machines_nspawn:
    machine.wait_for_unit("multi-user.target")
for machine in machines_nspawn:
    # Until the boots are over; what boots take is another scenario's.
    machine.succeed("systemctl is-system-running --wait || true")
with open(os.environ["BENCH_LOOK"], "w"):
    pass
with open(os.environ["BENCH_GO"]) as file:
    file.read()
write_numbers()
