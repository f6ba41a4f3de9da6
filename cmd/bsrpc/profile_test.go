package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// guarded returns the address of a server that wants a user with a token.
func guarded(t *testing.T) string {
	return serve(t, newDesk(t, &bsrpc.ServerOptions{
		Authenticate: func(_ context.Context, p *bsrpc.Peer, c bsrpc.Credentials) error {
			if c.User() != "ann" || !c.HasToken("s3cret") {
				return errors.New("unknown")
			}
			p.Name = "ann"
			return nil
		},
	}))
}

// Profiles: in commands, with flags beside them, completed, and files that are wrong.
func TestProfiles(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("BSRPC_CONFIG", filepath.Join(dir, "config.json"))
	open, closed := serve(t, newDesk(t, nil)), guarded(t)
	write := func(name, text string, mode os.FileMode) {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(strings.NewReplacer("OPEN", open, "CLOSED", closed).Replace(text)), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
	}
	write("config.json", `{"profiles": {
		"lab": {"address": "OPEN", "timeout": "5s"},
		"bench": {"address": "CLOSED", "user": "ann", "token-file": "token", "insecure-credentials": true},
		"inline": {"address": "CLOSED", "user": "ann", "token": "s3cret", "insecure-credentials": true},
		"nowhere": {"tls": true},
		"both": {"address": "OPEN", "token": "a", "token-file": "b"}
	}}`, 0o600)
	write("token", "s3cret\n", 0o600)
	write("wrong", "other\n", 0o600)
	write("shared.json", `{"profiles": {"inline": {"address": "CLOSED", "user": "ann", "token": "s3cret", "insecure-credentials": true}}}`, 0o644)
	for name, text := range map[string]string{
		"unknown.json":   `{"profiles": {"lab": {"adress": "OPEN"}}}`,
		"number.json":    `{"profiles": {"lab": {"address": 7}}}`,
		"bool.json":      `{"profiles": {"lab": {"tls": "yes"}}}`,
		"time.json":      `{"profiles": {"lab": {"timeout": "5"}}}`,
		"twice.json":     `{"profiles": {"lab": {"user": "a", "user": "b"}}}`,
		"token.json":     `{"profiles": {"lab": {"token": ["s3cret"]}}}`,
		"top.json":       `{"profile": {}}`,
		"list.json":      `{"profiles": []}`,
		"syntax.json":    "{\"profiles\": {\n\"lab\": {\"user\" \"a\"}}}",
		"cut.json":       `{"profiles": {`,
		"after.json":     `{"profiles": {}} {}`,
		"name.json":      `{"profiles": {"a b": {}}}`,
		"terminal.json":  "{\"profiles\": {\"lab\": {\"\\u001b[2J\": 1}}}",
		"noprofile.json": `{}`,
	} {
		write(name, text, 0o600)
	}
	lines := words(
		"list @lab",
		"list --profile lab",
		"list --profile lab Dsk",
		"health @bench Desk",
		"health --profile bench --token-file DIR/wrong",
		"health @inline --token-file DIR/wrong",
		"health @inline",
		"health @inline --config DIR/shared.json",
		"health @inline --config DIR/shared.json --json",
		"list --profile nowhere",
		"list --profile nowhere --address OPEN --tls=false",
		"list @both",
		"list @lba",
		"diff @lab OPEN",
		"diff @lab @lba",
		"list @lab --config DIR/missing",
		"__complete list @",
		"__complete list --profile l",
		"__complete diff @b",
		"__complete describe @lab Desk.A",
	)
	for _, name := range []string{"unknown", "number", "bool", "time", "twice", "token", "top", "list", "syntax", "cut", "after", "name", "terminal", "noprofile"} {
		lines = append(lines, words("list @lab --config DIR/"+name+".json")...)
	}
	transcript(t, "testdata/profiles.golden", lines, "OPEN", open, "CLOSED", closed, "DIR", dir)
}

// Without the variable and the flag, the file is in the user's folder.
func TestProfileFolder(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("BSRPC_CONFIG", "")
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("HOME", dir)
	t.Setenv("AppData", dir)
	folder, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "bsrpc", "config.json")
	check(t, 2, file+" does not exist", "list", "@lab")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	text := `{"profiles": {"lab": {"address": "` + serve(t, newDesk(t, nil)) + `"}}}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, 0, "Desk\n", "list", "@lab")
}

// No text is a reason to crash, and what is read has known keys.
func FuzzConfig(f *testing.F) {
	f.Add(`{"profiles": {"lab": {"address": "a:1", "timeout": "5s", "tls": true}}}`)
	f.Add(`{"profiles": {"lab": {"token": "x"}, "lab": {}}}`)
	f.Add(`{"profiles": null}`)
	f.Fuzz(func(t *testing.T, text string) {
		c := &config{file: "config.json"}
		if err := c.parse([]byte(text)); err != nil {
			return
		}
		for _, p := range c.profiles {
			for key, value := range p.values {
				if _, ok := profileKeys[key]; !ok || value == "" || p.name == "" {
					t.Errorf("profile %q: %q is %q", p.name, key, value)
				}
			}
		}
	})
}
