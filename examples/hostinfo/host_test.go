//go:build bsrpc_long

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func fakeProc(files ...string) service {
	tree := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		tree[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return service{proc: tree}
}

func TestProcesses(t *testing.T) {
	s := fakeProc(
		"10/stat", "10 (odd) name \xff()) S 1 10 10 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 7 0 99 8192 3 18446744073709551615 1 1 0\n",
		"2/stat", "2 (kthreadd) I 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0 18446744073709551615 0 0 0\n",
		"3/comm", "ended between listing and reading",
		"uptime", "no process",
	)
	got, err := s.Processes()
	want := []Process{
		{ID: 2, Name: "kthreadd", State: "I", Threads: 1},
		{ID: 10, Parent: 1, Name: "odd) name \xff()", State: "S", Threads: 7,
			Resident: 3 * int64(os.Getpagesize()), CPU: 3 * time.Second},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Processes() = %+v, %v\nwant %+v", got, err, want)
	}
}

func TestMalformedProcesses(t *testing.T) {
	for _, stat := range []string{"", "7", "7 (x", "7 (x) ", "7 (x) S 1 2 3", "x (x) S 1" + strings.Repeat(" 1", 40), "7 (x) S" + strings.Repeat(" x", 40)} {
		_, err := fakeProc("7/stat", stat).Processes()
		if err == nil || !strings.HasPrefix(err.Error(), "/proc/7/stat: ") {
			t.Errorf("%q: error %v, want one that names /proc/7/stat", stat, err)
		}
	}
}

func TestMounts(t *testing.T) {
	s := fakeProc("self/mounts", `overlay / overlay rw,relatime,lowerdir=/a:/b 0 0
/dev/sd\043 /media/two\040words\134\011\012 ext4 ro 0 0
tmpfs /x\9`+"\xff"+`\04 tmpfs rw 0 0
`)
	got, err := s.Mounts()
	want := []Mount{
		{"overlay", "/", "overlay", []string{"rw", "relatime", "lowerdir=/a:/b"}},
		{"/dev/sd#", "/media/two words\\\t\n", "ext4", []string{"ro"}},
		{"tmpfs", `/x\9` + "\xff" + `\04`, "tmpfs", []string{"rw"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Mounts() = %q, %v\nwant %q", got, err, want)
	}
	if _, err := fakeProc("self/mounts", "a b c d\nshort\n").Mounts(); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a short line: error %v, want one that names line 2", err)
	}
}

func TestWithoutProc(t *testing.T) {
	for _, s := range []service{fakeProc(), {proc: os.DirFS(filepath.Join(t.TempDir(), "proc"))}} {
		if _, err := s.Processes(); !errors.Is(err, errNoProc) {
			t.Errorf("Processes: %v", err)
		}
		if _, err := s.Mounts(); !errors.Is(err, errNoProc) {
			t.Errorf("Mounts: %v", err)
		}
	}
}

func TestRealProc(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no /proc")
	}
	s := service{proc: os.DirFS("/proc")}
	processes, err := s.Processes()
	if err != nil {
		t.Fatal(err)
	}
	var self Process
	for _, p := range processes {
		if p.ID == os.Getpid() {
			self = p
		}
	}
	if self.Parent != os.Getppid() || self.Threads < 1 || self.Resident < 1<<20 || self.Name == "" {
		t.Errorf("this process: %+v, want parent %d", self, os.Getppid())
	}
	mounts, err := s.Mounts()
	if err != nil || len(mounts) == 0 || len(mounts[0].Options) == 0 {
		t.Errorf("Mounts() = %q, %v", mounts, err)
	}
}

// newFolder creates a served folder next to a secret file.
func newFolder(t *testing.T, files ...string) (service, string) {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "served")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(top, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(files); i += 2 {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(files[i])), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return service{os.DirFS("/proc"), root}, dir
}

func TestList(t *testing.T) {
	s, dir := newFolder(t, "b", "12345", "a", "", "sub/c", "1")
	if err := os.Symlink("../secret", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for of, want := range map[string]string{".": "a b link sub", "sub": "c", "sub/..": "a b link sub"} {
		files, err := s.List(of)
		var names []string
		for _, f := range files {
			names = append(names, f.Name)
			if f.Modified.IsZero() || f.Name == "b" && f.Size != 5 || f.Name == "link" && f.Mode.Type() != fs.ModeSymlink {
				t.Errorf("List(%q): %+v", of, f)
			}
		}
		if err != nil || strings.Join(names, " ") != want {
			t.Errorf("List(%q) = %q, %v; want %q", of, names, err, want)
		}
	}
}

func TestReadAt(t *testing.T) {
	s, _ := newFolder(t, "ten", "0123456789")
	for _, c := range []struct {
		offset int64
		n      int
		want   string
	}{{0, 4, "0123"}, {4, 4, "4567"}, {8, 4, "89"}, {10, 4, ""}, {1 << 60, maxPart, ""}, {0, maxPart, "0123456789"}} {
		if got, err := s.ReadAt("ten", c.offset, c.n); err != nil || string(got) != c.want {
			t.Errorf("ReadAt(%d, %d) = %q, %v; want %q", c.offset, c.n, got, err, c.want)
		}
	}
	for _, n := range []int{-1, 0, maxPart + 1} {
		if _, err := s.ReadAt("ten", 0, n); err == nil {
			t.Errorf("a part of %d bytes was read", n)
		}
	}
	if _, err := s.ReadAt("ten", -1, 1); err == nil {
		t.Error("a part before the file was read")
	}
}

func TestSHA256(t *testing.T) {
	long := strings.Repeat("0123456789", maxPart/10+1)
	s, _ := newFolder(t, "long", long, "empty", "")
	for name, text := range map[string]string{"long": long, "empty": ""} {
		if got, err := s.SHA256(t.Context(), name); err != nil || got != sha256.Sum256([]byte(text)) {
			t.Errorf("SHA256(%s) = %x, %v", name, got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.SHA256(ctx, "long"); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
}

// callAll calls each method with a name parameter.
func (s service) callAll(name string) map[string]error {
	_, list := s.List(name)
	_, stat := s.Stat(name)
	_, read := s.ReadAt(name, 0, 100)
	_, sum := s.SHA256(context.Background(), name)
	return map[string]error{"List": list, "Stat": stat, "ReadAt": read, "SHA256": sum}
}

func TestNoEscapeFromFolder(t *testing.T) {
	s, dir := newFolder(t, "sub/file", "x")
	for link, to := range map[string]string{"up": "..", "secret": "../secret", "abs": filepath.Dir(dir), "loop": "loop", "sub/up": "../../secret"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		"", "..", "../secret", "../served/sub/file", "/", "/etc", "/etc/passwd", dir, "sub/../../secret",
		"up", "up/secret", "secret", "abs", "abs/secret", "loop", "sub/up", "sub\x00file", "./../secret",
	} {
		for method, err := range s.callAll(name) {
			if err == nil {
				t.Errorf("%s(%q): no error", method, name)
			} else if strings.Contains(err.Error(), filepath.Dir(dir)) && !strings.Contains(name, dir) {
				t.Errorf("%s(%q): %v: reveals the location of the folder", method, name, err)
			}
		}
	}
}

func TestErrorsUnwrap(t *testing.T) {
	s, dir := newFolder(t, "file", "x", "sub/x", "x")
	for method, err := range s.callAll("missing") {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want fs.ErrNotExist", method, err)
		}
	}
	for _, name := range []string{"file", "sub"} {
		for method, err := range s.callAll(name) {
			wrong := (method == "List") == (name == "file") && method != "Stat"
			if (err != nil) != wrong {
				t.Errorf("%s(%s): %v", method, name, err)
			}
			if err != nil && strings.Contains(err.Error(), dir) {
				t.Errorf("%s(%s): %v: reveals the location of the folder", method, name, err)
			}
		}
	}
}

// Names need not be UTF-8.
func TestInvalidUTF8Names(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("not all names are allowed")
	}
	name := "\xff tab\tline\n\"\x1b[31m"
	s, _ := newFolder(t, name, "odd")
	files, err := s.List(".")
	if err != nil || len(files) != 1 || files[0].Name != name {
		t.Fatalf("List = %q, %v", files, err)
	}
	if got, err := s.ReadAt(files[0].Name, 0, 10); err != nil || string(got) != "odd" {
		t.Errorf("ReadAt = %q, %v", got, err)
	}
	var out bytes.Buffer
	table(&out, "name", files, 9, func(f File) string { return printable(f.Name) })
	if want := `"\xff tab\tline\n\"\x1b[31m"`; !strings.Contains(out.String(), want) {
		t.Errorf("the table has %q, want %s in it", out.String(), want)
	}
}
