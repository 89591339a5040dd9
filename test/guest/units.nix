# The units of a guest that are not Debian's. Each is { text; } or, when
# multi-user.target (or `by`) is to want it, { text; enable = true; }.
{
  debian,
  network,
  interfaces,
  wrappersScript, # null: no setuid wrappers
  services,
}:
let
  oneshot = {
    "network-addresses.service" = {
      enable = true;
      text = ''
        [Unit]
        Description=Static addresses of the test network
        DefaultDependencies=no
        After=local-fs.target
        Before=network.target shutdown.target
        Wants=network.target
        Conflicts=shutdown.target

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=/etc/network-addresses
        TimeoutStartSec=30
      '';
    };
  };

  wrappers =
    if wrappersScript == null then
      { }
    else
      {
        "run-wrappers.mount" = {
          text = ''
            [Unit]
            DefaultDependencies=no
            Before=umount.target
            Conflicts=umount.target

            [Mount]
            What=tmpfs
            Where=/run/wrappers
            Type=tmpfs
            Options=nodev,mode=755,size=50%
          '';
        };
        "suid-sgid-wrappers.service" = {
          enable = true;
          by = "sysinit.target";
          text = ''
            [Unit]
            Description=Create SUID/SGID Wrappers
            DefaultDependencies=no
            Before=sysinit.target shutdown.target
            After=systemd-sysusers.service
            Conflicts=shutdown.target
            RequiresMountsFor=/nix/store /run/wrappers

            [Service]
            Type=oneshot
            RemainAfterExit=yes
            RestrictSUIDSGID=no
            ExecStart=${wrappersScript}
          '';
        };
      };

  available = {
    # Answers on port 8080, IPv4 and IPv6, whatever is asked (/etc/listener).
    "listener.service" = {
      text = ''
        [Unit]
        Description=HTTP greeting on port 8080
        After=network.target

        [Service]
        ExecStart=${debian}/usr/bin/socat TCP6-LISTEN:8080,reuseaddr,fork,ipv6only=0 EXEC:/etc/listener
      '';
    };
    # Takes 0.3 s to become active.
    "slow.service" = {
      text = ''
        [Unit]
        Description=Unit that takes 0.3 s to start

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=${debian}/usr/bin/sleep 0.3
      '';
    };
    # The same, but runs on and says itself when it is ready.
    "slow-notify.service" = {
      text = ''
        [Unit]
        Description=Service that is ready after 0.3 s

        [Service]
        Type=notify
        NotifyAccess=all
        ExecStart=${debian}/usr/bin/sh -c 'sleep 0.3; systemd-notify --ready; exec sleep infinity'
      '';
    };
    "broken.service" = {
      text = ''
        [Unit]
        Description=Unit that fails

        [Service]
        Type=oneshot
        ExecStart=${debian}/usr/bin/sh -c 'echo this unit fails on purpose; exit 3'
      '';
    };
    # A template user of the machine can run: wait_for_unit("idle.service", user)
    "idle.service" = {
      text = ''
        [Unit]
        Description=Trivial service

        [Service]
        ExecStart=${debian}/usr/bin/sleep infinity
      '';
    };
  };
  chosen = builtins.listToAttrs (
    map (name: {
      name = "${name}.service";
      value =
        (available."${name}.service" or (throw "no such guest service: ${name}")) // { enable = true; };
    }) services
  );
in
(if interfaces == [ ] then { } else oneshot) // wrappers // available // chosen
