# mkGuest { name; … }: the store path of a system that boots like a NixOS one:
# …-nixos-like-system-NAME with init, activate, etc, systemd and sw in it.
{
  debian,
  build,
  network,
}:
{
  name,
  hostName ? name,
  # [ { name = "eth1"; vlan = 1; number = 2; } ]: static addresses.
  interfaces ? [ ],
  # [ { hostName; interfaces; } ]: who is in /etc/hosts.
  machines ? [ { inherit hostName interfaces; } ],
  # { "x.service" = "text"; } is wanted by multi-user.target;
  # { "x.service" = { text; enable ? false; by ? "multi-user.target"; }; } says itself.
  units ? { },
  # Which of units.nix's services are wanted: [ "listener" "slow" … ].
  services ? [ ],
  # { "path" = "text"; } or { "path" = { link; }; } in /etc.
  etc ? { },
  # Normal users, { alice = 1000; }, with a home and no password.
  users ? {
    alice = 1000;
  },
  # Whether /run/wrappers gets setuid programs. Without them where the sandbox
  # refuses setuid bits, as upstream's containers do.
  setuidWrappers ? true,
  # Programs that get file capabilities, which Nix's sandbox refuses: with any,
  # the wrappers' unit fails in a Nix build.
  capabilityWrappers ? [ ],
  # Whether systemd-logind starts at boot, and not first when it is asked for,
  # as D-Bus does.
  logind ? false,
}:
let
  fill = file: build.fill file {
    out = "@out@";
    inherit debian;
    inherit (build) busybox;
    setuid = "su mount umount";
    capabilities = toString capabilityWrappers;
  };

  wrappersScript =
    if setuidWrappers then
      "${build.tree "guest-wrappers" {
        "bin/wrappers" = {
          text = fill ./stage-2/wrappers.sh;
          mode = "755";
        };
      } ""}/bin/wrappers"
    else
      null;

  # What Debian starts by default and a machine of a test has no use for: it
  # asks for hardware, a console to log in at, a first boot, or a writable /usr.
  maskedUnits = import ./masked.nix;

  toUnit = value: if builtins.isString value then { text = value; enable = true; } else value;
  allUnits =
    import ./units.nix { inherit debian network interfaces wrappersScript services; }
    // builtins.mapAttrs (_: toUnit) units;
  unitNames = builtins.attrNames allUnits;
  unitDir = "etc/systemd/system";

  prefix =
    dir: files:
    builtins.listToAttrs (
      map (path: {
        name = "${dir}/${path}";
        value = files.${path};
      }) (builtins.attrNames files)
    );

  links =
    target: dir: names:
    builtins.listToAttrs (
      map (path: {
        name = "${dir}/${path}";
        value.link = target;
      }) names
    );

  unitFiles =
    prefix unitDir (builtins.mapAttrs (_: unit: unit.text) allUnits)
    // builtins.listToAttrs (
      map (unit: {
        name = "${unitDir}/${allUnits.${unit}.by or "multi-user.target"}.wants/${unit}";
        value.link = "../${unit}";
      }) (builtins.filter (unit: allUnits.${unit}.enable or false) unitNames)
    )
    // links "/dev/null" unitDir maskedUnits.units
    // links "/dev/null" "etc/systemd/system-generators" maskedUnits.generators
    // links "/dev/null" "${unitDir}/multi-user.target.wants" (
      # Debian starts it at boot; NixOS leaves it to its socket.
      [ "dbus.service" ] ++ (if logind then [ ] else [ "systemd-logind.service" ])
    )
    // {
      "${unitDir}/default.target".link = "${debian}/usr/lib/systemd/system/multi-user.target";
    };

  networkScript = {
    "network-addresses" = {
      mode = "755";
      text = ''
        #!${build.busybox} sh
        # The interfaces are there before the first process as a rule.
        for interface in ${toString (map (i: i.name) interfaces)}; do
            tries=0
            until [ -e "/sys/class/net/$interface" ]; do
                tries=$((tries + 1))
                if [ "$tries" -gt 1000 ]; then
                    echo "interface $interface did not appear in 10 s" >&2
                    exit 1
                fi
                sleep 0.01
            done
        done
        exec ${debian}/usr/sbin/ip -batch - <<'COMMANDS'
        ${network.commands interfaces}COMMANDS
      '';
    };
  };

  listener = {
    mode = "755";
    text = ''
      #!${build.busybox} sh
      # The request is read to its end: to close a socket that holds unread
      # data resets the connection, and the answer may be lost.
      while read -r line && [ "''${#line}" -gt 1 ]; do :; done
      printf 'HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n'
    '';
  };

  # Links to what Debian has there; programs look for it in /etc.
  fromDebian = builtins.listToAttrs (
    map
      (path: {
        name = path;
        value.link = "${debian}/etc/${path}";
      })
      [
        "alternatives"
        "dbus-1"
        "login.defs"
        "mime.types"
        "networks"
        "pam.d"
        "protocols"
        "python3"
        "rpc"
        "security"
        "services"
        "shells"
        "skel"
        "xdg"
      ]
  );

  etcFiles =
    fromDebian
    // networkScript
    // {
      inherit listener;
      hostname = "${hostName}\n";
      hosts = ''
        127.0.0.1 localhost
        ::1 localhost
        127.0.0.2 ${hostName}
        ::1 ${hostName}
        ${network.hosts machines}'';
      "nsswitch.conf" = ''
        passwd: files systemd
        group: files systemd
        shadow: files
        hosts: files myhostname dns
        services: files
        protocols: files
      '';
      "os-release" = ''
        ID=nixos
        NAME=NixOS-like
        PRETTY_NAME="NixOS-like test guest"
        VERSION_ID="26.11"
      '';
      "set-environment" = ''
        # DO NOT EDIT -- this file has been generated automatically.
        if [ -n "$__NIXOS_SET_ENVIRONMENT_DONE" ]; then return; fi
        export __NIXOS_SET_ENVIRONMENT_DONE=1
        export PATH="/run/wrappers/bin:/run/current-system/sw/bin:/run/current-system/sw/sbin:/usr/bin:/usr/sbin"
        export EDITOR=true PAGER=cat LANG=C.UTF-8
        export NIXOS_LIKE_PROFILE=1
      '';
      profile = ''
        if [ -n "$__ETC_PROFILE_SOURCED" ]; then return; fi
        __ETC_PROFILE_SOURCED=1
        if [ -z "$__NIXOS_SET_ENVIRONMENT_DONE" ]; then
            . /etc/set-environment
        fi
      '';
      bashrc = "";
      # As NixOS has it: what is wanted by what is decided at build time.
      "systemd/system-preset/00-nixos.preset" = "ignore *\n";
      "systemd/user-preset/00-nixos.preset" = "ignore *\n";
    }
    // etc;

  userNames = builtins.attrNames users;
  userLines = f: builtins.concatStringsSep "" (map (user: f user (toString users.${user}) + "\n") userNames);
in
build.tree "nixos-like-system-${name}"
  (
    {
      init = {
        text = fill ./stage-2/init;
        mode = "755";
      };
      "stage-2" = {
        text = fill ./stage-2/stage-2.sh;
      };
      activate = {
        text = fill ./stage-2/activate.sh;
        mode = "755";
      };
      "tmpfiles.conf" = ''
        d /run/keys 0750 root 96 -
        z /run/keys 0750 root 96 -
        d /run/nixos-like 0755 root root -
        f /run/nixos-like/activated 0644 root root - by tmpfiles
      '';
      "nixos-version" = "26.11.nixos-like";
      system = builtins.currentSystem;
      systemd.link = "${debian}/usr";
      sw.link = "${debian}/usr";
      "users/add-passwd" = userLines (user: id: "${user}:x:${id}:100::/home/${user}:/run/current-system/sw/bin/bash");
      "users/add-shadow" = userLines (user: _: "${user}:!:1::::::");
    }
    // prefix "etc" etcFiles
    // unitFiles
  )
  ''
    cp users/add-passwd users/passwd
    cp users/add-shadow users/shadow
    cat $debian/etc/passwd >>users/passwd
    cat $debian/etc/shadow >>users/shadow
    grep -v '^keys:' $debian/etc/group >users/group
    echo 'keys:x:96:' >>users/group
    rm users/add-*

    # /etc/systemd/system is one link, as in NixOS; of the rest every file is.
    find etc -type d ! -path '${unitDir}/*' ! -path ${unitDir} |
        sed 's,^etc,etc-links,' | xargs mkdir -p
    find etc ! -type d ! -path '${unitDir}/*' | while read -r path; do
        ln -s "/etc/static/''${path#etc/}" "etc-links/''${path#etc/}"
    done
    ln -s /etc/static/systemd/system etc-links/systemd/system
    mkdir boot-tools
    for tool in cat chmod chown find grep hostname install ln mkdir mount readlink rm tee; do
        ln -s $busybox boot-tools/$tool
    done

    rm etc-links/hostname
    cp etc/hostname etc-links/hostname

    # What names this very path could not be written before it was known.
    sed -i "s,@out@,$out,g" init stage-2 activate
  ''
