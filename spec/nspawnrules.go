package spec

// takes says whether an option of systemd-nspawn has a value.
type takes int

const (
	noValue takes = iota
	oneValue
	maybeValue
)

// optionRule is what becomes of an option: something is done, or it is
// refused, or else noted. A note is for what has no meaning here or holds
// anyway; what would change the machine and isn't done must be refused.
type optionRule struct {
	takes  takes
	do     func(t *translation, shown, value string) string
	refuse string
	note   string
}

// nspawnLong returns the long form of a one-letter option, "" for none.
func nspawnLong(letter rune) string {
	switch letter {
	case 'a':
		return "--as-pid2"
	case 'b':
		return "--boot"
	case 'D':
		return "--directory"
	case 'E':
		return "--setenv"
	case 'h':
		return "--help"
	case 'i':
		return "--image"
	case 'j':
		return "--link-journal-try-guest"
	case 'L':
		return "--selinux-apifs-context"
	case 'M':
		return "--machine"
	case 'n':
		return "--network-veth"
	case 'P':
		return "--pipe"
	case 'p':
		return "--port"
	case 'q':
		return "--quiet"
	case 'S':
		return "--slice"
	case 'U':
		return "--private-users-pick"
	case 'u':
		return "--uid"
	case 'x':
		return "--ephemeral"
	case 'Z':
		return "--selinux-context"
	}
	return ""
}

// nspawnRule returns the rule for a long option of systemd-nspawn(1), as of
// version 262.
func nspawnRule(name string) (optionRule, bool) {
	note := func(takes takes, text string) (optionRule, bool) {
		return optionRule{takes: takes, note: text}, true
	}
	refuse := func(takes takes, text string) (optionRule, bool) {
		return optionRule{takes: takes, refuse: text}, true
	}
	do := func(f func(t *translation, shown, value string) string) (optionRule, bool) {
		return optionRule{takes: oneValue, do: f}, true
	}
	switch name {
	// What a machine has fields for.
	case "--bind":
		return do((*translation).bind)
	case "--bind-ro":
		return do((*translation).bindReadOnly)
	case "--tmpfs":
		return do((*translation).tmpfs)
	case "--setenv":
		return do((*translation).setenv)
	case "--load-credential":
		return do((*translation).loadCredential)
	case "--set-credential":
		return do((*translation).setCredential)

	// What every machine gets.
	case "--private-network":
		return note(noValue, "every machine has its own network")
	case "--boot":
		return note(noValue, "--init is what boots")
	case "--notify-ready":
		return note(oneValue, "readiness is always awaited")
	case "--private-users", "--private-users-ownership":
		return note(oneValue, "ids are mapped by what the build owns")
	case "--private-users-chown", "--private-users-pick":
		return note(noValue, "ids are mapped by what the build owns")
	case "--private-users-delegate":
		return note(oneValue, "ids are mapped by what the build owns")
	case "--capability", "--drop-capability":
		return note(oneValue, "machines have the capabilities of their user namespace")
	case "--system-call-filter":
		return note(oneValue, "there is no system call filter here")
	case "--console", "--background":
		return note(oneValue, "the console is a terminal whose output is logged")
	case "--pipe":
		return note(noValue, "the console is a terminal whose output is logged")

	// What concerns systemd on the host, which isn't involved.
	case "--machine", "--hostname":
		return do((*translation).hostname)
	case "--directory":
		return note(oneValue, "the driver's state directory is used")
	case "--register", "--property", "--slice":
		return note(oneValue, "no systemd of the host is involved")
	case "--keep-unit", "--system":
		return note(noValue, "no systemd of the host is involved")
	case "--user":
		return optionRule{takes: maybeValue, do: (*translation).scope}, true
	case "--link-journal":
		return note(oneValue, "the journal is streamed to the log")
	case "--link-journal-try-guest":
		return note(noValue, "the journal is streamed to the log")
	case "--settings":
		return note(oneValue, ".nspawn files are not read")
	case "--quiet", "--no-pager", "--no-ask-password":
		return note(noValue, "nothing to do here")
	case "--kill-signal":
		return note(oneValue, "machines are shut down by their init's own protocol")
	case "--uuid":
		return note(oneValue, "the driver chooses the machine id")
	case "--resolv-conf", "--timezone":
		return note(oneValue, "nothing is taken over from the host")
	case "--suppress-sync", "--oom-score-adjust", "--image-policy":
		return note(oneValue, "has no meaning here")
	case "--selinux-context", "--selinux-apifs-context":
		return note(oneValue, "has no meaning here")

	// What asks for nothing when it is off.
	case "--volatile":
		return optionRule{takes: maybeValue, do: onlyOff("a volatile root is not supported")}, true
	case "--no-new-privileges":
		return do(onlyOff("machines need to gain privileges"))

	// What would make another machine of it.
	case "--overlay", "--overlay-ro":
		return refuse(oneValue, "overlays within a machine are not supported, use a bind mount or a tmpfs")
	case "--inaccessible", "--bind-user", "--bind-user-shell", "--bind-user-group":
		return refuse(oneValue, "is not supported, use a bind mount or a tmpfs")
	case "--image", "--root-hash", "--root-hash-sig", "--verity-data", "--oci-bundle", "--template", "--pivot-root":
		return refuse(oneValue, "is not supported, the root is a directory and a store")
	case "--read-only", "--ephemeral":
		return refuse(noValue, "is not supported, the root is a fresh directory")
	case "--as-pid2":
		return refuse(noValue, "is not supported, --init has to be an init")
	case "--uid", "--chdir", "--ambient-capability", "--personality":
		return refuse(oneValue, "is not supported, --init runs as root in /")
	case "--rlimit", "--cpu-affinity":
		return refuse(oneValue, "is not supported, set limits in a machine object or in the machine's own units")
	case "--network-veth":
		return refuse(noValue, "is not supported, VLANs come from --interfaces-json")
	case "--network-interface", "--network-macvlan", "--network-ipvlan", "--network-veth-extra",
		"--network-bridge", "--network-zone", "--network-namespace-path", "--port":
		return refuse(oneValue, "is not supported, VLANs come from --interfaces-json")
	case "--import-credential":
		return refuse(oneValue, "is not supported, use --load-credential")
	case "--help", "--version", "--cleanup":
		return refuse(noValue, "starts no machine")
	}
	return optionRule{}, false
}
