package spec

import (
	"path"
	"slices"
	"strings"
)

// script reads the start script of the container called name and translates
// it. Problems are recorded at path, where the script is named. It returns
// nil when there is nothing to check further.
func (d *decoder) script(script, name, path string) *Machine {
	if !d.opts.Exists(script) {
		d.spoil(path, "%s does not exist", script)
		return nil
	}
	data, err := d.opts.ReadFile(script)
	if err != nil {
		d.spoil(path, "reading the start script: %v", err)
		return nil
	}
	t := translation{opts: d.opts, m: &Machine{
		Name:        name,
		Kind:        KindContainer,
		StartScript: script,
		Env:         map[string]string{},
		Credentials: map[string]Credential{},
		Root:        Root{Kind: RootDirectory},
	}}
	checkable := t.translate(string(data))
	for _, problem := range t.problems {
		d.add(path, "%s: %s", script, problem)
	}
	if !checkable {
		return nil
	}
	return t.m
}

// translation turns a script that upstream wrote for run-nspawn, its wrapper
// around systemd-nspawn, into a machine.
type translation struct {
	opts     Options
	m        *Machine
	shell    *shellScript
	problems []string
}

func (t *translation) fail(option, message string) {
	t.problems = append(t.problems, option+": "+message)
}

func (t *translation) note(option, message string) {
	t.m.Notes = append(t.m.Notes, option+": "+message)
}

// translate fills in the machine from the script's text. It reports whether
// all that a machine needs was there.
func (t *translation) translate(text string) bool {
	shell, err := readShell(text)
	if err != nil {
		t.problems = append(t.problems, err.Error())
		return false
	}
	t.shell = shell
	if program := shell.exec[0]; path.Base(program) != "run-nspawn" {
		err := &shellError{shell.line, "exec of " + quote(program) + ", want run-nspawn"}
		t.problems = append(t.problems, err.Error())
		return false
	}
	own, options := splitRunNspawn(shell.exec[1:])
	for _, flag := range []string{"--container-name", "--root-dir", "--interfaces-json", "--init"} {
		if _, ok := own[flag]; !ok {
			t.fail(flag, "is missing")
		}
	}
	checkable := len(t.problems) == 0
	if name := own["--container-name"]; name != t.m.Name {
		t.note("--container-name="+name, "the machine is called "+t.m.Name)
	}
	t.note("--root-dir="+own["--root-dir"], "the driver's state directory is used")
	t.m.Init = own["--init"]
	if list, ok := own["--interfaces-json"]; ok {
		t.m.Interfaces = t.interfaces(list)
	}
	if list, ok := own["--cmdline-json"]; ok {
		t.m.Cmdline = t.cmdline(list)
	}
	t.nspawnOptions(options)
	return checkable
}

// splitRunNspawn takes run-nspawn's own flags, of which the last of each
// counts, from its arguments. It passes everything else on to systemd-nspawn.
func splitRunNspawn(args []string) (own map[string]string, options []string) {
	own = map[string]string{}
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		switch name {
		case "--container-name", "--root-dir", "--interfaces-json", "--init", "--cmdline-json":
			if !joined && i+1 < len(args) {
				i++
				value = args[i]
			}
			own[name] = value
		default:
			options = append(options, args[i])
		}
	}
	return own, options
}

// parseList reads the value of flag, a list in JSON, with a function for its
// items. Without problems it returns true.
func (t *translation) parseList(flag, value string, item func(d *decoder, n *node, path string)) bool {
	d := &decoder{opts: t.opts}
	if n := parse(&d.collector, []byte(value)); n != nil && d.want(n, "", kindList, "a list") {
		for i, n := range n.items {
			item(d, n, index("", i))
		}
	}
	for _, p := range d.list {
		t.fail(flag+p.Path, p.Message)
	}
	return len(d.list) == 0
}

func (t *translation) interfaces(value string) []Interface {
	// assignIP says that the guest's own configuration holds the addresses of
	// the VLAN's scheme. It is baked into the guest, so there is nothing to do.
	known := append(interfaceKeys(), "assignIP")
	var all []Interface
	ok := t.parseList("--interfaces-json", value, func(d *decoder, n *node, path string) {
		accepted := known
		for _, m := range n.members {
			if !slices.Contains(known, m.key) {
				accepted = append(slices.Clone(accepted), m.key)
				t.note("--interfaces-json"+join(path, m.key), "has no meaning here")
			}
		}
		all = append(all, d.network(n, path, accepted))
	})
	if !ok {
		return nil
	}
	return all
}

func (t *translation) cmdline(value string) []string {
	var all []string
	t.parseList("--cmdline-json", value, func(d *decoder, n *node, path string) {
		all = append(all, d.text(n, path))
	})
	return all
}

// nspawnOptions translates the options of systemd-nspawn.
func (t *translation) nspawnOptions(args []string) {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case strings.HasPrefix(arg, "--") && arg != "--":
			name, value, joined := strings.Cut(arg, "=")
			rule, known := nspawnRule(name)
			if !known {
				t.fail(name, "unknown option")
				continue
			}
			switch {
			case rule.takes == noValue && joined:
				t.fail(name, "takes no value, found "+quote(value))
				continue
			case rule.takes == oneValue && !joined:
				if len(args) == 0 {
					t.fail(name, "needs a value")
					continue
				}
				value, args = args[0], args[1:]
			}
			t.apply(name, value, rule)
		case strings.HasPrefix(arg, "-") && len(arg) > 1 && arg != "--":
			args = t.shortOptions(arg[1:], args)
		default:
			t.fail(quote(arg), "is no option, the program to run is given by --init")
		}
	}
}

// shortOptions translates a word of one-letter options such as -bq or -Mname.
// It returns what of args, the words after it, is left.
func (t *translation) shortOptions(word string, args []string) []string {
	for i, letter := range word {
		name := nspawnLong(letter)
		if name == "" {
			t.fail("-"+string(letter), "unknown option")
			return args
		}
		rule, _ := nspawnRule(name)
		if rule.takes != oneValue {
			t.apply(name, "", rule)
			continue
		}
		value := word[i+len(string(letter)):]
		if value == "" {
			if len(args) == 0 {
				t.fail("-"+string(letter), "needs a value")
				return args
			}
			value, args = args[0], args[1:]
		}
		t.apply(name, value, rule)
		return args
	}
	return args
}

// apply carries out one option.
func (t *translation) apply(name, value string, rule optionRule) {
	shown := name
	if value != "" {
		shown += "=" + value
	}
	switch {
	case rule.do != nil:
		if problem := rule.do(t, shown, value); problem != "" {
			t.fail(shown, problem)
		}
	case rule.refuse != "":
		t.fail(shown, rule.refuse)
	default:
		t.note(shown, rule.note)
	}
}
