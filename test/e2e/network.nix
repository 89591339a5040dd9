# Machines that reach each other, and machines that must not.
{ test, ... }:
{
  # The demo.
  ping = test {
    name = "ping";
    containers.n1 = { };
    containers.n2 = { };
    testScript = ''
      start_all()
      n1.wait_for_unit("multi-user.target")
      n2.wait_for_unit("multi-user.target")
      n1.succeed("ping -c 1 -W 5 n2")
      n2.succeed("ping -c 1 -W 5 n1")
    '';
  };

  # left (machine 2) on VLAN 1, right (3) on 2, both (1) on 1 and 2.
  vlans = test {
    name = "vlans";
    globalTimeout = 120;
    containers.left.services = [ "listener" ];
    containers.right = {
      vlans = [ 2 ];
      services = [ "listener" ];
    };
    containers.both = {
      vlans = [
        1
        2
      ];
      services = [ "listener" ];
    };
    testScript = ''
      import socket
      import threading

      start_all()
      for machine in machines:
          machine.wait_for_unit("multi-user.target")
          machine.wait_for_open_port(8080)

      def reaches(machine, address, option=""):
          machine.succeed(f"ping {option} -c 1 -W 5 {address}")

      def misses(machine, address, option=""):
          machine.fail(f"ping {option} -c 1 -W 0.5 {address}")

      with subtest("cards"):
          for machine, want in (
              (left, ["lo", "eth1 52:54:00:12:01:02"]),
              (right, ["lo", "eth1 52:54:00:12:02:03"]),
              (both, ["lo", "eth1 52:54:00:12:01:01", "eth2 52:54:00:12:02:01"]),
          ):
              links = machine.succeed("cd /sys/class/net; grep -H . */address").splitlines()
              found = [line.replace("/address:", " ").replace("lo 00:00:00:00:00:00", "lo") for line in links]
              t.assertCountEqual(found, want)
              t.assertEqual(machine.succeed("cat /sys/class/net/eth1/mtu").strip(), "1500")

      with subtest("names in /etc/hosts"):
          t.assertIn("192.168.1.1", left.succeed("getent ahostsv4 both"))
          t.assertIn("2001:db8:1::1", left.succeed("getent ahostsv6 both"))
          t.assertIn("192.168.2.3", left.succeed("getent ahostsv4 right"))

      with subtest("reachable"):
          reaches(left, "both")
          reaches(both, "left")
          reaches(both, "right")
          reaches(right, "192.168.2.1")
          # iputils refuses `ping -6 NAME` of a name with an IPv4 address too.
          reaches(left, "2001:db8:1::1", "-6")
          reaches(both, "2001:db8:1::2", "-6")
          reaches(both, "2001:db8:2::3", "-6")
          reaches(right, "2001:db8:2::1", "-6")

      with subtest("TCP by name, IPv4 and IPv6"):
          get = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 -{} {} 8080"
          t.assertIn("hello", both.succeed(get.format(4, "left")))
          t.assertIn("hello", both.succeed(get.format(6, "left")))
          t.assertIn("hello", both.succeed(get.format(4, "right")))
          t.assertIn("hello", both.succeed(get.format(6, "right")))

      with subtest("out of reach"):
          misses(left, "right")
          misses(right, "left")
          misses(right, "both")  # the name stands for both's address on VLAN 1
          misses(left, "2001:db8:2::3", "-6")
          misses(right, "2001:db8:1::2", "-6")

      with subtest("out of reach with a route, too"):
          # On the link: nobody there answers for it.
          left.succeed("ip route add 192.168.2.0/24 dev eth1; ip -6 route add 2001:db8:2::/64 dev eth1")
          right.succeed("ip route add 192.168.1.0/24 dev eth1; ip -6 route add 2001:db8:1::/64 dev eth1")
          misses(left, "192.168.2.3")
          misses(left, "192.168.2.254")
          misses(left, "2001:db8:2::3", "-6")
          misses(right, "192.168.1.2")
          # By way of the bridges, where the script is: that forwards nothing.
          # (Its own addresses answer whatever bridge asks, as Linux does it.)
          left.succeed("ip route replace 192.168.2.0/24 via 192.168.1.254")
          left.succeed("ip -6 route replace 2001:db8:2::/64 via 2001:db8:1::fe")
          misses(left, "192.168.2.3")
          misses(left, "2001:db8:2::3", "-6")

      with subtest("in reach by way of a machine that forwards"):
          left.succeed("ip route replace 192.168.2.0/24 via 192.168.1.1")
          left.succeed("ip -6 route replace 2001:db8:2::/64 via 2001:db8:1::1")
          right.succeed("ip route replace 192.168.1.0/24 via 192.168.2.1")
          right.succeed("ip -6 route replace 2001:db8:1::/64 via 2001:db8:2::1")
          misses(left, "right")
          both.succeed("sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
          reaches(left, "right")
          reaches(right, "2001:db8:1::2", "-6")

      with subtest("jumbo frames between machines"):
          left.succeed("ip link set eth1 mtu 9000")
          both.succeed("ip link set eth1 mtu 9000")
          left.succeed("ping -M do -s 8972 -c 1 -W 5 both")
          left.fail("ping -M do -s 9001 -c 1 -W 0.5 both")

      with subtest("from the script to machines"):
          for address, own in (
              ("192.168.1.2", "192.168.1.254"),
              ("192.168.2.3", "192.168.2.254"),
              ("2001:db8:1::2", "2001:db8:1::fe"),
              ("2001:db8:2::3", "2001:db8:2::fe"),
          ):
              with socket.create_connection((address, 8080), timeout=10) as connection:
                  t.assertEqual(connection.getsockname()[0], own)
                  connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                  t.assertIn(b"hello", connection.makefile("rb").read())

      with subtest("from a machine to the script"):
          server = socket.create_server(("192.168.2.254", 9000))
          greeted = []

          def greet():
              connection, peer = server.accept()
              with connection:
                  connection.sendall(b"from the script\n")
              greeted.append(peer[0])

          thread = threading.Thread(target=greet)
          thread.start()
          t.assertEqual(right.succeed("nc -w 5 192.168.2.254 9000 </dev/null"), "from the script\n")
          thread.join(10)
          t.assertEqual(greeted, ["192.168.2.3"])
    '';
  };

  # A host name may have 64 bytes, the name of an interface 15.
  longName = test {
    name = "long-name";
    containers = {
      # 60 characters.
      a-machine-whose-name-has-sixty-characters-and-three-cards-ab.vlans = [
        1
        2
        3
      ];
      a-machine-whose-name-has-sixty-characters-and-three-cards-cd.vlans = [
        1
        2
        3
      ];
    };
    testScript = ''
      one, two = machines
      t.assertEqual(one.name, "a-machine-whose-name-has-sixty-characters-and-three-cards-ab")
      t.assertEqual(len(one.name), 60)
      t.assertIs(one, a_machine_whose_name_has_sixty_characters_and_three_cards_ab)
      start_all()
      for machine in machines:
          machine.wait_for_unit("multi-user.target")
          t.assertEqual(machine.succeed("hostname").strip(), machine.name)
      one.succeed(f"ping -c 1 -W 5 {two.name}")
      two.succeed("ping -c 1 -W 5 192.168.3.1")
      one.succeed("echo kept >/root/kept")
      one.copy_from_machine("/root/kept")
    '';
  };
}
