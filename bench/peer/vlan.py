"""A VLAN: a vde_switch, and the tap that would join it to the bridge."""

import os
import subprocess


class VLan:
    def __init__(self, number, tmp, logger):
        self.logger = logger
        logger.log("start vlan")
        ctl = f"{tmp}/vde{number}.ctl"
        self.switch = subprocess.Popen(
            ["vde_switch", "--sock", ctl, "--dirmode", "0700", "--hub"],
            bufsize=1,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # Its answer means that it is there.
        self.switch.stdin.write("showinfo\n")
        for line in self.switch.stdout:
            if "1000 Success" in line:
                break
        # Fails without /dev/net/tun, as in most sandboxes, and nobody minds.
        self.plug = subprocess.Popen(
            ["vde_plug2tap", "-s", ctl, f"vde-tap{number}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert os.path.exists(f"{ctl}/ctl"), "vde_switch did not start"
        logger.log(f"running vlan (pid {self.switch.pid}; ctl {ctl})")

    def stop(self):
        self.logger.log(f"kill vlan (pid {self.switch.pid})")
        self.switch.stdin.close()
        self.plug.terminate()
        self.plug.wait()
        self.switch.terminate()
