# The address plan of NixOS tests: machines are numbered by name from 1, each
# VLAN is 192.168.<vlan>.0/24 and 2001:db8:<vlan>::/64, the n-th VLAN of a
# machine is its eth<n>.
rec {
  # number { a = …; b = …; }: { a = 1; b = 2; }
  number =
    machines:
    let
      names = builtins.attrNames machines;
    in
    builtins.listToAttrs (
      builtins.genList (i: {
        name = builtins.elemAt names i;
        value = i + 1;
      }) (builtins.length names)
    );

  # interfaces 3 [ 1 2 ]: what machine 3 has on the VLANs 1 and 2.
  interfaces =
    machineNumber: vlans:
    builtins.genList (i: {
      name = "eth${toString (i + 1)}";
      vlan = builtins.elemAt vlans i;
      number = machineNumber;
    }) (builtins.length vlans);

  ipv4 = i: "192.168.${toString i.vlan}.${toString i.number}";
  ipv6 = i: "2001:db8:${toString i.vlan}::${toString i.number}";

  # hosts [ { hostName; interfaces; } ]: lines of /etc/hosts. A name stands for
  # the addresses of its machine's first interface.
  hosts =
    machines:
    builtins.concatStringsSep "" (
      map (
        machine:
        if machine.interfaces == [ ] then
          ""
        else
          let
            first = builtins.head machine.interfaces;
          in
          "${ipv4 first} ${machine.hostName}\n${ipv6 first} ${machine.hostName}\n"
      ) machines
    );

  # commands INTERFACES: what `ip -batch` is to do.
  commands =
    interfaces:
    builtins.concatStringsSep "" (
      map (i: ''
        address replace ${ipv4 i}/24 dev ${i.name}
        address replace ${ipv6 i}/64 dev ${i.name} nodad
        link set ${i.name} up
      '') interfaces
    );
}
