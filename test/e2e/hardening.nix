# systemd's unit hardening, setting by setting, in a machine.
{ test, ... }:
{
  hardening = test {
    name = "hardening";
    globalTimeout = 240;
    containers.a = { };
    testScript = builtins.readFile ./hardening.py;
  };
}
