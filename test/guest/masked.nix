# Parts of Debian's systemd that a guest leaves out, as NixOS leaves them out
# of containers or as they are without work in an empty root.
{
  units = [
    # No console to log in at, no passwords to ask for.
    "console-getty.service"
    "getty.target"
    "getty-static.service"
    "systemd-ask-password-console.path"
    "systemd-ask-password-wall.path"
    "systemd-ask-password.socket"
    "systemd-mute-console.socket"
    # Hardware and kernel: the host's business.
    "dev-hugepages.mount"
    "kmod-static-nodes.service"
    "proc-sys-fs-binfmt_misc.automount"
    "sys-fs-fuse-connections.mount"
    "sys-kernel-config.mount"
    "sys-kernel-debug.mount"
    "sys-kernel-tracing.mount"
    "systemd-binfmt.service"
    "systemd-hibernate-clear.service"
    "systemd-random-seed.service"
    # First boot and changes of /usr: the store holds what is to be.
    "ldconfig.service"
    "systemd-firstboot.service"
    "systemd-journal-catalog-update.service"
    "systemd-machine-id-commit.service"
    "systemd-sysusers.service"
    "systemd-update-done.service"
    "first-boot-complete.target"
    # NixOS mounts no tmpfs on /tmp unless told to, and a container manager may
    # have put /tmp/shared there.
    "tmp.mount"
    # Images, updates, other machines.
    "imports.target"
    "systemd-creds.socket"
    "systemd-factory-reset.socket"
    "systemd-importd.socket"
    "systemd-journalctl.socket"
    "systemd-machined.socket"
    "systemd-storage-block.socket"
    "systemd-storage-fs.socket"
    "systemd-sysext.socket"
    "systemd-sysinstall.socket"
    "systemd-sysupdate.socket"
    "var-lib-machines.mount"
    # Timers: nothing grows old in a test.
    "systemd-tmpfiles-clean.timer"
    "e2scrub_all.timer"
    "e2scrub_reap.service"
    "fstrim.timer"
    "dpkg-db-backup.timer"
  ];
  generators = [
    "systemd-cryptsetup-generator"
    "systemd-factory-reset-generator"
    "systemd-getty-generator"
    "systemd-gpt-auto-generator"
    "systemd-hibernate-resume-generator"
    "systemd-import-generator"
    "systemd-integritysetup-generator"
    "systemd-ssh-generator"
    "systemd-system-update-generator"
    "systemd-sysv-generator"
    "systemd-tpm2-generator"
    "systemd-veritysetup-generator"
  ];
}
