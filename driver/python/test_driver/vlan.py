"""A virtual network, as a script sees it; the driver owns the real one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


class VLan:
    """The network with number nr."""

    def __init__(self, nr: int, tmp_dir: str) -> None:
        self.nr = nr
        self._tmp_dir = tmp_dir

    def __repr__(self) -> str:
        return f"<Vlan Nr. {self.nr}>"

    @property
    def socket_dir(self) -> Path:
        """Where the VDE socket of this network is, if it has one."""
        from pathlib import Path

        return Path(self._tmp_dir) / f"vde{self.nr}.ctl"
