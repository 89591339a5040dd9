start_all()
for machine in machines_nspawn:
    machine.wait_for_unit("multi-user.target")
look_back(machines_nspawn)
write_numbers()
