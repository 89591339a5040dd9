package spec

import "strings"

// bind translates --bind=SOURCE[:TARGET[:OPTIONS]].
func (t *translation) bind(shown, value string) string {
	return t.bindMount(shown, value, false)
}

// bindReadOnly translates --bind-ro=SOURCE[:TARGET[:OPTIONS]].
func (t *translation) bindReadOnly(shown, value string) string {
	return t.bindMount(shown, value, true)
}

func (t *translation) bindMount(shown, value string, readOnly bool) string {
	parts, options := splitColons(value, 2)
	source, target := parts[0], parts[0]
	if len(parts) > 1 {
		target = parts[1]
	}
	switch {
	case source == "":
		return "a temporary directory as source is not supported, use --tmpfs"
	case source[0] == '+':
		return "a source inside the root is not supported, the root is empty"
	}
	m := Mount{
		Source:   t.opts.abs(source),
		Target:   cleanTarget(target),
		Type:     MountBind,
		ReadOnly: readOnly,
	}
	switch {
	case m.Source == storeDir && m.Target == storeDir:
		if !readOnly {
			t.note(shown, "the store is there already, read-only")
		}
		return ""
	case m.Target == "/run/host/proc" || m.Target == "/run/host/sys":
		// nixpkgs passes these where nspawn can't mount its own.
		t.note(shown, "every machine has its own /proc and /sys")
		return ""
	}
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "", "rbind", "noidmap":
			// The default.
		case "norbind":
			m.Options = append(m.Options, "bind")
		case "idmap", "rootidmap", "owneridmap":
			t.note(shown, "ids are the same on both sides of the mount")
		default:
			return quote(option) + " is no option of a bind mount"
		}
	}
	t.m.Mounts = append(t.m.Mounts, m)
	return ""
}

// tmpfs translates --tmpfs=TARGET[:OPTIONS].
func (t *translation) tmpfs(_, value string) string {
	parts, options := splitColons(value, 1)
	m := Mount{Target: cleanTarget(parts[0]), Type: MountTmpfs}
	if options == "" {
		m.Options = []string{"mode=0755"} // nspawn's own; the kernel's default is 1777
	} else {
		m.Options = strings.Split(options, ",")
	}
	t.m.Mounts = append(t.m.Mounts, m)
	return ""
}

// setenv translates --setenv=NAME[=VALUE]. Without a value it stands for that
// of systemd-nspawn's own environment, of which only what the script exports
// is known.
func (t *translation) setenv(shown, value string) string {
	name, text, given := strings.Cut(value, "=")
	if !variableName(name) {
		return quote(name) + " is no variable name, use letters, digits and _"
	}
	if !given {
		variable, known := t.shell.vars[name]
		if !known || !t.shell.exported[name] || variable.unknown != "" {
			t.note(shown, "the script gives it no value, so the machine gets none")
			return ""
		}
		text = variable.text
	}
	t.m.Env[name] = text
	return ""
}

// loadCredential translates --load-credential=ID:PATH.
func (t *translation) loadCredential(_, value string) string {
	id, file, _ := strings.Cut(value, ":")
	if file == "" {
		return "names no file, give ID:PATH"
	}
	t.m.Credentials[id] = Credential{Source: t.opts.abs(file)}
	return ""
}

// setCredential translates --set-credential=ID:VALUE.
func (t *translation) setCredential(_, value string) string {
	id, text, given := strings.Cut(value, ":")
	if !given {
		return "has no value, give ID:VALUE"
	}
	text, ok := unescape(text)
	if !ok {
		return "has a backslash that starts no escape"
	}
	t.m.Credentials[id] = Credential{Text: text}
	return ""
}

// hostname notes a name that isn't the machine's.
func (t *translation) hostname(shown, value string) string {
	if value != t.m.Name {
		t.note(shown, "the machine is called "+t.m.Name)
	}
	return ""
}

// scope translates --user, which chose the user of the init by a value until
// it came to choose, without one, which systemd of the host to talk to.
func (t *translation) scope(shown, value string) string {
	if value != "" {
		return "is not supported, --init runs as root in /"
	}
	t.note(shown, "no systemd of the host is involved")
	return ""
}

// onlyOff accepts an option that is switched off.
func onlyOff(refusal string) func(t *translation, shown, value string) string {
	return func(t *translation, shown, value string) string {
		switch strings.ToLower(value) {
		case "no", "n", "false", "f", "off", "0":
			t.note(shown, "is off")
			return ""
		}
		return refusal
	}
}

// splitColons cuts the first n parts, which colons end, off s and returns
// what follows them as rest. In the parts a backslash takes the next byte's
// meaning away.
func splitColons(s string, n int) (parts []string, rest string) {
	var part strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			part.WriteByte(s[i])
		case s[i] == ':':
			parts = append(parts, part.String())
			part.Reset()
			if len(parts) == n {
				return parts, s[i+1:]
			}
		default:
			part.WriteByte(s[i])
		}
	}
	return append(parts, part.String()), ""
}
