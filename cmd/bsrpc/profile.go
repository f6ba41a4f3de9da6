package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// profileMark begins the name of a profile in place of an address.
const profileMark = "@"

// configVariable names the file of profiles in the environment.
const configVariable = "BSRPC_CONFIG"

// maxConfig limits the bytes of the file.
const maxConfig = 1 << 20

// A profile is the connection to a server under a name of the user's.
type profile struct {
	name   string
	values map[string]string // by the name of the flag
}

// A config is a file of profiles:
//
//	{"profiles": {"lab": {"address": "lab:7342", "ca": "lab.pem", "token-file": "token"}}}
type config struct {
	file     string
	profiles []profile
}

// A kind of a key says what its value is.
const (
	textKey = iota
	boolKey
	timeKey
	sizeKey
	fileKey // relative to the folder of the config
)

// profileKeys are the keys of a profile: names of flags, and token.
var profileKeys = map[string]int{
	"address": textKey, "tls": boolKey, "ca": fileKey, "cert": fileKey, "key": fileKey, "server-name": textKey,
	"token-file": fileKey, "token": textKey, "user": textKey, "insecure-credentials": boolKey, "timeout": timeKey, "max-message": sizeKey,
}

// useProfile sets what the profile of a name has, and no flag on the command line.
func (t *target) useProfile(name string) error {
	c, err := t.readConfig()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(c.profiles, func(p profile) bool { return p.name == name })
	if i < 0 {
		var names []string
		for _, p := range c.profiles {
			names = append(names, p.name)
		}
		if len(names) == 0 {
			names = []string{"none"}
		}
		return usage("%s has no profile %s; it has %s", c.file, clean(name, maxWord), clean(firstOf(names), maxLine))
	}
	return t.apply(c, c.profiles[i])
}

// apply sets the flags of a profile. Those on the command line win.
func (t *target) apply(c *config, p profile) error {
	for key, value := range p.values {
		switch {
		case key == "token" && t.flags.Changed("token-file"):
		case key == "token":
			t.token = value
			t.checkMode(c, p)
		case key == "token-file" && p.values["token"] != "":
			return usage("%s, profile %s: token and token-file exclude each other", c.file, p.name)
		case !t.flags.Changed(key):
			if err := t.set(key, value); err != nil {
				return usage("%s, profile %s, %s: %v", c.file, p.name, key, err)
			}
		}
	}
	if t.address == "" {
		return usage("%s, profile %s: an address is missing; add \"address\": \"host:port\", or give --address", c.file, p.name)
	}
	return nil
}

// set sets the field of a flag, which stays unchanged for what asks for it.
func (t *target) set(key, value string) (err error) {
	switch key {
	case "address":
		t.address = value
	case "tls":
		t.tls = value == "true"
	case "insecure-credentials":
		t.insecure = value == "true"
	case "ca":
		t.ca = value
	case "cert":
		t.cert = value
	case "key":
		t.key = value
	case "server-name":
		t.serverName = value
	case "token-file":
		t.tokenFile = value
	case "user":
		t.user = value
	case "timeout":
		t.timeout, err = time.ParseDuration(value)
	case "max-message":
		err = t.maxMessage.Set(value)
	}
	return err
}

// checkMode warns about a token that other users of this machine can read.
func (t *target) checkMode(c *config, p profile) {
	info, err := os.Stat(c.file)
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		t.warn(fmt.Sprintf("other users may read the token of the profile %s; run chmod 600 %s, or use token-file", p.name, c.file))
	}
}

// warn prints a line for people on standard error.
func (t *target) warn(text string) {
	if t.stderr == nil {
		return
	}
	if t.json {
		writeJSON(t.stderr(), map[string]string{"warning": text})
	} else {
		fmt.Fprintln(t.stderr(), "bsrpc: warning: "+clean(text, maxErrorText))
	}
}

// configFile returns the name of the file of profiles.
func (t *target) configFile() (string, error) {
	if t.config != "" {
		return t.config, nil
	}
	if name := os.Getenv(configVariable); name != "" {
		return name, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", usage("%v; name the file of profiles by --config or %s", err, configVariable)
	}
	return filepath.Join(dir, "bsrpc", "config.json"), nil
}

// readConfig reads the file of profiles.
func (t *target) readConfig() (*config, error) {
	file, err := t.configFile()
	if err != nil {
		return nil, err
	}
	data, err := readFile(file, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage(`%s does not exist; write {"profiles": {"lab": {"address": "host:port"}}} to it, or name another file by --config or %s`, file, configVariable)
	}
	if err != nil {
		return nil, usage("%v", err)
	}
	c := &config{file: file}
	if err := c.parse(data); err != nil {
		return nil, usage("%s%v", file, err)
	}
	return c, nil
}

// parse parses the file. Errors begin with the place in it.
func (c *config) parse(data []byte) error {
	if err := checkSyntax(data); err != nil {
		return err
	}
	entries, err := entriesOf(data)
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	for _, e := range entries {
		if e.key != "profiles" {
			return fmt.Errorf(": unknown key %q; want profiles", e.key)
		}
		list, err := entriesOf(e.value)
		if err != nil {
			return fmt.Errorf(": profiles: %w", err)
		}
		for _, entry := range list {
			p, err := c.profile(entry)
			if err != nil {
				return fmt.Errorf(", profile %s%w", clean(entry.key, maxWord), err)
			}
			c.profiles = append(c.profiles, p)
		}
	}
	return nil
}

// profile parses one profile.
func (c *config) profile(e entry) (profile, error) {
	p := profile{name: e.key, values: make(map[string]string)}
	if e.key == "" || strings.ContainsFunc(e.key, func(r rune) bool { return r == ' ' || !printable(r) }) {
		return p, errors.New(": want a name without spaces")
	}
	keys, err := entriesOf(e.value)
	if err != nil {
		return p, fmt.Errorf(": %w", err)
	}
	for _, k := range keys {
		if p.values[k.key], err = c.value(k); err != nil {
			return p, fmt.Errorf(", %s: %w", clean(k.key, maxWord), err)
		}
	}
	return p, nil
}

// value parses the value of a key. A token is not part of an error.
func (c *config) value(e entry) (string, error) {
	kind, ok := profileKeys[e.key]
	if !ok {
		return "", errors.New("an unknown key; the keys are address, tls, ca, cert, key, server-name, token-file, token, user, insecure-credentials, timeout and max-message")
	}
	if kind == boolKey {
		if text := string(e.value); text == "true" || text == "false" {
			return text, nil
		}
		return "", errors.New("want true or false")
	}
	var text string
	if len(e.value) == 0 || e.value[0] != '"' || json.Unmarshal(e.value, &text) != nil || text == "" {
		return "", errors.New("want a string")
	}
	switch kind {
	case timeKey:
		if d, err := time.ParseDuration(text); err != nil || d <= 0 {
			return "", errors.New(`want a duration, such as "5s"`)
		}
	case sizeKey:
		if err := new(sizeFlag).Set(text); err != nil {
			return "", err
		}
	case fileKey:
		if !filepath.IsAbs(text) {
			text = filepath.Join(filepath.Dir(c.file), text)
		}
	}
	return text, nil
}

// An entry is a key of a JSON object with its value.
type entry struct {
	key   string
	value json.RawMessage
}

// entriesOf returns the entries of an object in valid JSON, in their order. Unlike
// encoding/json it refuses a key that is there twice.
func entriesOf(data []byte) (list []entry, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("want an object of JSON: {...}")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		e := entry{key: key.(string)}
		if err := d.Decode(&e.value); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(other entry) bool { return other.key == e.key }) {
			return nil, fmt.Errorf("%q is there twice", clean(e.key, maxWord))
		}
		list = append(list, e)
	}
	return list, nil
}

// checkSyntax returns an error with the line if data is not JSON.
func checkSyntax(data []byte) error {
	var any json.RawMessage
	err := json.Unmarshal(data, &any)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line := 1 + bytes.Count(data[:syntax.Offset], []byte("\n"))
		return fmt.Errorf(":%d: %w", line, err)
	}
	return err
}

// completeProfiles returns the completion of @ by the names of profiles.
func (t *target) completeProfiles(otherwise cobra.ShellCompDirective) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		if list := t.profileNames(word); len(list) > 0 {
			return list, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, otherwise
	}
}

// profileNames returns the profiles that begin with word, with their addresses.
func (t *target) profileNames(word string) (list []string) {
	c, err := t.readConfig()
	if err != nil {
		return nil
	}
	for _, p := range c.profiles {
		if name := profileMark + p.name; strings.HasPrefix(name, word) && len(list) < maxCompletions {
			list = append(list, name+"\t"+clean(p.values["address"], 80))
		}
	}
	return list
}

// completeProfileFlag is the completion of --profile.
func (t *target) completeProfileFlag(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	list := t.profileNames(profileMark + word)
	for i, name := range list {
		list[i] = strings.TrimPrefix(name, profileMark)
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}
